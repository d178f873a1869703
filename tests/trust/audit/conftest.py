"""A case whose answers a test decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from robeval.plugins.contracts import Attack, Defense, Domain
from robeval.plugins.none import NoDefense
from robeval.testing.linear import LinearDomain, Steps
from robeval.trust.audit.contract import Harm, Slopes, Want


@dataclass
class FakeCase:
    """An attacked cell that answers what it was told to."""

    attack: Attack[Any] = field(default_factory=Steps)
    defense: Defense = field(default_factory=NoDefense)
    domain: Domain[Any] = field(default_factory=LinearDomain)
    attack_spec: str = "steps"
    knowledge: str = "adaptive"
    budget: float = 0.5
    observed: Mapping[str, float] = field(default_factory=dict)
    is_saturated: bool = False
    harms: Mapping[str, Harm] = field(default_factory=dict)
    failures: tuple[int, int] | None = None
    followed: Slopes | None = None
    certificate: tuple[int, int] | None = None

    def harm(self, want: Want) -> Harm | None:
        return self.harms.get(want.name)

    def failure(self, want: Want) -> tuple[int, int] | None:
        return self.failures

    def slopes(self) -> Slopes | None:
        return self.followed

    def beaten(self) -> tuple[int, int] | None:
        return self.certificate


@pytest.fixture
def case() -> type[FakeCase]:
    """Makes cases."""
    return FakeCase


@pytest.fixture
def harm() -> Any:
    """Makes harms: what the attack does, what the other one does, and how sure the difference is."""

    def made(own: float, other: float, p_more: float = 0.5, p_less: float = 0.5) -> Harm:
        return Harm(own, other, 0.0, other - own, None, None, p_more, p_less, 32)

    return made
