"""What an audit check is given and what it answers.

A check is a plugin: a frozen dataclass whose fields are its thresholds, registered with `registry.check`. It names the
further cells that it needs (`wants`); the engine runs them, on few examples, and the check judges what came out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from robeval.plugins.contracts import Attack, Defense, Domain

Result = Literal["pass", "flag", "n/a"]


@dataclass(frozen=True)
class Want:
    """A further cell: the audited one with something changed."""

    name: str
    """What to call it in evidence."""
    attack: str | None = None
    """Another attack's spec; None is the audited one."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of the audited attack that are changed."""
    budget: float | None = None
    knowledge: Literal["adaptive", "oblivious"] | None = None


class Harm(NamedTuple):
    """How much a further cell hurts beside the audited one, on the same examples.

    All in the headline's unit and signed so that more is worse for the defender; `difference` is other minus own.
    """

    own: float
    other: float
    clean: float
    difference: float
    low: float | None
    high: float | None
    p_more: float | None
    """How easily chance alone would let the other look that much worse; None where nothing can be tested."""
    p_less: float | None
    n: int


class Slopes(NamedTuple):
    """How the victim's gradient fares on its way back to the input."""

    lost_at: str | None
    """The innermost module that gets a slope and passes none on; "" is the victim as a whole; None is nowhere."""
    agreement: float
    """Median cosine between the gradients under two draws of the defense's noise; 1 without noise."""
    flat_share: float
    """Share of the examples without any slope at the input."""


@runtime_checkable
class Case(Protocol):
    """An attacked cell under audit."""

    @property
    def domain(self) -> Domain[Any]:
        """Its domain; `probes` names attacks to compare with."""
        ...

    @property
    def attack(self) -> Attack[Any]:
        """The attack, configured."""
        ...

    @property
    def defense(self) -> Defense:
        """The defense, configured."""
        ...

    @property
    def attack_spec(self) -> str:
        """The attack as it is written on the command line."""
        ...

    @property
    def knowledge(self) -> str:
        """`adaptive` or `oblivious`."""
        ...

    @property
    def budget(self) -> float:
        """What the attack may spend."""
        ...

    @property
    def observed(self) -> Mapping[str, float]:
        """Sums over the cell's examples: what the engine saw while the attack ran."""
        ...

    @property
    def is_saturated(self) -> bool:
        """Whether the attack has done all that the headline can show: a proportion at its worst end."""
        ...

    def harm(self, want: Want) -> Harm | None:
        """The further cell beside the audited one; None when it could not be run or nothing can be compared."""
        ...

    def failure(self, want: Want) -> tuple[int, int] | None:
        """Of a further cell: on how many examples the victim held out, and of how many."""
        ...

    def slopes(self) -> Slopes | None:
        """The gradient followed through the defended victim; None where inputs are not continuous."""
        ...

    def beaten(self) -> tuple[int, int] | None:
        """Examples on which the attack did worse than a certificate allows, of those within its radius."""
        ...


@dataclass(frozen=True)
class Outcome:
    """A check's answer: what it saw, and what to do about it."""

    result: Result
    evidence: str
    advice: str = ""
    counter: str = ""
    """The counter-measure that `--counter` runs: `straight-through`, `expectation`, `oblivious` (the gradients
    of the victim without its defense), or an attack's spec."""
    severity: Literal["suspicious", "invalid"] = "suspicious"


def passed(evidence: str) -> Outcome:
    """Nothing to object."""
    return Outcome("pass", evidence)


def not_applicable(reason: str) -> Outcome:
    """The question makes no sense here, or cannot be answered."""
    return Outcome("n/a", reason)


@dataclass(frozen=True)
class AuditCheck(ABC):
    """One reason to doubt a figure; fields are thresholds."""

    question: ClassVar[str]
    """What it asks, for tables."""

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The further cells that `judge` looks at."""
        return ()

    @abstractmethod
    def judge(self, case: Case) -> Outcome:
        """The answer for one cell."""


def asks(case: Case) -> bool:
    """Whether the attack looks at the victim at all, itself or through a surrogate."""
    return case.attack.grant.access in ("white-box", "score", "decision", "rank")
