"""What the trust checks may know of a cell, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Severity = Literal["ok", "suspicious", "invalid"]


@dataclass(frozen=True)
class Facts:
    """A finished cell in numbers: the threat model's words and sums over the examples."""

    access: str
    budget: float
    budget_unit: str
    is_attack: bool
    """False for the clean row and for certificates."""
    transfers: bool
    """The gradients are a surrogate's."""
    n: int
    headline: str
    lower_is_better: bool
    observed: Mapping[str, float]
    gradient: str = "exact"
    """How the defense that the attack went through declares its gradient; "exact" where it saw no defense."""

    def count(self, name: str) -> int:
        """An observed sum as a whole number; 0 if nothing was observed."""
        return round(self.observed.get(name, 0.0))


@dataclass(frozen=True)
class Finding:
    """What a check found, in a sentence that says what to do."""

    check: str
    severity: Severity
    message: str


@runtime_checkable
class Check(Protocol):
    """One reason to doubt a figure."""

    @property
    def name(self) -> str:
        """How evidence is found."""
        ...

    def __call__(self, facts: Facts) -> Finding | None:
        """The finding, or None when there is nothing to say."""
        ...
