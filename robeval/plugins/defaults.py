"""What a domain runs when nothing else is said, and what its audit compares with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from robeval.errors import UsageError, nearest


@dataclass(frozen=True)
class Profile:
    """A named variant of a domain's default run, for `robeval run DOMAIN --profile NAME`.

    What is None stays as the domain has it.
    """

    meaning: str
    """What its figures can be read for, and what not: it stands in the report's head."""
    dataset: str | None = None
    victim: str | None = None
    attacks: tuple[str, ...] | None = None
    defenses: tuple[str, ...] | None = None
    max_examples: int | None = None


@dataclass(frozen=True)
class Defaults:
    """What `robeval run DOMAIN` runs when nothing else is said; plugin specs as on the command line."""

    dataset: str
    victim: str
    attacks: tuple[str, ...]
    defenses: tuple[str, ...]
    max_examples: int = 96
    small: tuple[str, str] | None = None
    """Dataset and victim that are there within seconds, for checks and examples; None: the usual ones."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def under(self, profile: str | None) -> Defaults:
        """The same with what a profile says instead; as they are without a name.

        Raises UsageError for an unknown profile, with the nearest.
        """
        if profile is None:
            return self
        if profile not in self.profiles:
            near = nearest(profile, self.profiles)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise UsageError(
                f"no profile '{profile}'.{hint} Known here: {', '.join(self.profiles) or 'none'}"
            )
        chosen = self.profiles[profile]
        said = {name: getattr(chosen, name) for name in ("dataset", "victim", "attacks", "defenses")}
        said["max_examples"] = chosen.max_examples
        return replace(self, **{name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True)
class Probes:
    """The attacks that an audit compares with, as plugin specs; None where a domain has none."""

    random: str | None = None
    """Spends the budget at random and asks nothing."""
    black_box: str | None = None
    """Searches without gradients."""
    transfer: str | None = None
    """Takes its gradients from a surrogate."""
    strong: str | None = None
    """A white-box attack that no check objects to against an undefended victim."""
    weak: str | None = None
    """An attack that is known to be weak: the audit must object to it."""
