"""The plugins that a plan names: found, checked and made once, and the digests of what they consist of."""

from __future__ import annotations

from typing import Any

from robeval.engine.sources import source_digest
from robeval.errors import OptionError, PluginError, UsageError
from robeval.plugins.contracts import Attack, Defense, Domain
from robeval.plugins.data import Dataset
from robeval.plugins.options import configure, identity
from robeval.plugins.registry import Registry
from robeval.plugins.specs import PluginSpec
from robeval.plugins.victim import Victim


class Catalog:
    """The plugins of one domain, looked up, checked and configured once."""

    def __init__(self, registry: Registry, domain: str) -> None:
        self.registry = registry
        self.domain: Domain[Any] = registry.load("domain", domain)()
        self.name = domain
        self._made: dict[tuple[str, str], Any] = {}
        self._digests: dict[tuple[str, str], list[Any]] = {}

    def cls(self, kind: str, spec: PluginSpec) -> type:
        """The class behind a spec."""
        loaded: type = self.registry.load(kind, spec.name, self.name)
        return loaded

    def effective(self, kind: str, spec: PluginSpec) -> dict[str, Any]:
        """All options of a plugin, defaults filled in."""
        return identity(self.cls(kind, spec), spec.options, f"{kind} '{spec.name}'")

    def canonical(self, kind: str, spec: PluginSpec) -> PluginSpec:
        """The spec with the name as registered (no domain prefix), its options checked, defaults left out.

        Raises UnknownPlugin or OptionError.
        """
        entry = self.registry.find(kind, spec.name, self.name)
        if entry.domain not in (self.name, "*"):
            raise UsageError(
                f"{kind} '{entry.name}' belongs to domain '{entry.domain}', but the experiment's is '{self.name}'."
            )
        usual = self._usual(kind, spec)
        effective = self.effective(kind, spec)
        given = {name.replace("-", "_") for name in spec.options}
        options = {name: effective[name] for name in sorted(given) if effective[name] != usual.get(name, ...)}
        return PluginSpec(name=entry.short, options=options)

    def _usual(self, kind: str, spec: PluginSpec) -> dict[str, Any]:
        """The defaults; nothing where an option has none."""
        try:
            return identity(self.cls(kind, spec), {})
        except OptionError:
            return {}

    def attack(self, spec: PluginSpec) -> Attack[Any]:
        """The configured attack. Raises PluginError when it acts where its threat model grants nothing."""
        attack: Attack[Any] = self._once("attack", spec)
        for hook, access in (("poison", "data"), ("tamper", "weights")):
            if acts(attack, hook) and attack.grant.access != access:
                raise PluginError(
                    f"attack '{spec.name}' overrides {hook}, but its threat model grants access "
                    f"'{attack.grant.access}'. Declare ThreatModel(access='{access}')."
                )
        return attack

    def defense(self, spec: PluginSpec) -> Defense:
        """The configured defense."""
        return self._once("defense", spec)  # type: ignore[no-any-return]

    def dataset(self, spec: PluginSpec) -> Dataset:
        """The configured dataset; its splits are loaded once."""
        return self._once("dataset", spec)  # type: ignore[no-any-return]

    def victim(self, spec: PluginSpec) -> Victim:
        """A new victim, its weights drawn from torch's current generator."""
        return self._make("victim", spec)  # type: ignore[no-any-return]

    def digest(self, kind: str, spec: PluginSpec) -> list[Any]:
        """Everything that makes a plugin what it is: name, options, source; for a dataset its content too.

        Raises MissingFile when a dataset's files are not there.
        """
        key = (kind, str(spec))
        if key not in self._digests:
            content = [self.dataset(spec).fingerprint()] if kind == "dataset" else []
            source = source_digest(self.cls(kind, spec))
            cls = self.cls(kind, spec)
            name = f"{cls.__module__}:{cls.__qualname__}"
            self._digests[key] = [spec.name, name, self.effective(kind, spec), source, *content]
        return self._digests[key]

    def _once(self, kind: str, spec: PluginSpec) -> Any:
        key = (kind, str(spec))
        if key not in self._made:
            self._made[key] = self._make(kind, spec)
        return self._made[key]

    def _make(self, kind: str, spec: PluginSpec) -> Any:
        return configure(self.cls(kind, spec), spec.options, f"{kind} '{spec.name}'")


def acts(plugin: Attack[Any] | Defense, hook: str) -> bool:
    """Whether a plugin overrides a hook, so that the hook is more than the identity."""
    base = Attack if isinstance(plugin, Attack) else Defense
    return getattr(type(plugin), hook) is not getattr(base, hook)
