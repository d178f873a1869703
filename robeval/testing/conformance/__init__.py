"""The contract of every kind of plugin as checks that its author runs; docs/conformance.md explains each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robeval.errors import PluginError
from robeval.plugins.registry import KINDS, Registry
from robeval.testing.conformance import attack, common, dataset, defense, domain, victim
from robeval.testing.conformance.bench import Bench
from robeval.testing.conformance.check import CHECKS, Bound, Broken, Check

__all__ = ["CHECKS", "Bench", "Bound", "Broken", "Check", "checks", "conforms", "known", "suite"]

_ROOMS = (common, attack, defense, dataset, victim, domain)
"""Imported for what they add to CHECKS."""


def conforms(kind: str, plugin: type | str, domain: str | None = None, **setting: Any) -> None:
    """Run every check of a kind on a plugin; takes what `checks` takes.

    Raises Broken at the first broken promise, with what is wrong and what to do.
    """
    for bound in checks(kind, plugin, domain, **setting):
        bound()


def checks(
    kind: str,
    plugin: type | str,
    domain: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    victim: str | None = None,
    registry: Registry | None = None,
) -> list[Bound]:
    """The checks of a plugin, one by one, for ``pytest.mark.parametrize("check", checks(...), ids=str)``.

    `plugin` is a class or a registered name. `dataset` and `victim` (as on the command line) replace the
    domain's small ones; `registry` replaces built-in and installed plugins. Nothing is loaded before a check is
    called. Raises PluginError for an unknown kind.
    """
    if kind not in CHECKS:
        raise PluginError(f"there are no checks for the kind '{kind}'; there are for: {', '.join(KINDS)}")
    bench = _bench(kind, plugin, domain, registry or known())
    bench.options, bench.dataset_spec, bench.victim_spec = options or {}, dataset, victim
    return [Bound(check, bench) for check in CHECKS[kind]]


def suite(
    kind: str,
    registry: Registry,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    domains: Sequence[str] = (),
) -> list[Bound]:
    """The checks of every registered plugin of a kind (of some domains), with ``ids=lambda bound: bound.id``.

    `settings` holds what `checks` takes beyond names, by full name.
    """
    chosen = settings or {}
    return [
        bound
        for entry in registry.of(kind)
        if not domains or entry.domain in domains
        for bound in checks(kind, entry.name, registry=registry, **chosen.get(entry.name, {}))
    ]


def known(plugin_files: Sequence[str | Path] = ()) -> Registry:
    """Built-in and installed plugins, those of some files, and the closed-form domain `linear`."""
    from robeval.plugins.discovery import discover
    from robeval.testing import linear

    registry = discover(plugin_files)
    if ("domain", "linear") not in registry.entries:
        linear.register(registry)
    return registry


def _bench(kind: str, plugin: type | str, domain: str | None, registry: Registry) -> Bench:
    if isinstance(plugin, str):
        entry = registry.find(kind, plugin, domain)
        home = domain or (entry.domain if entry.domain != "*" else "linear")
        return Bench(kind, entry.short, entry, home, registry)
    own = Registry(entries=dict(registry.entries))
    if kind == "domain":
        name = getattr(plugin, "name", "under-test")
        own.entries.pop(("domain", name), None)
        own.domain(name, plugin)
        return Bench(kind, name, plugin, name, own)
    home = domain or getattr(plugin, "domain", None) or "linear"
    own._add(kind, f"{home}/under-test", plugin, "", None)
    return Bench(kind, "under-test", plugin, home, own)
