"""Who meets whom in a cell, as a value: `stages` makes it, `modules` plays it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from robeval.plugins.contracts import Attack, Domain
from robeval.plugins.threat import ThreatModel
from robeval.seeding import Seed


@dataclass(frozen=True)
class CleanAnswers:
    """What a judged victim said to clean examples, by the ids of those asked together; shared by all of its cells."""

    of_all: dict[tuple[str, ...], tuple[Any, Mapping[str, Tensor]]] = field(default_factory=dict)
    """Outputs and scores."""
    of_few: dict[tuple[str, ...], Tensor] = field(default_factory=dict)
    """Answers of the few that every cell asks again."""

    def clear(self) -> None:
        """Forget everything."""
        self.of_all.clear()
        self.of_few.clear()


@dataclass
class Stage:
    """Who meets whom in a cell."""

    domain: Domain[Any]
    attack: Attack[Any] | None
    """None for a certificate."""
    attacked: nn.Module
    """What the attack sees: the defended victim, the undefended one (oblivious), or a surrogate."""
    judged: nn.Module
    threat: ThreatModel
    budget: float
    seed: Seed
    transfers: bool = False
    draws: int = 1
    """Over how many draws of a random victim a white-box attacker averages."""
    prepared: Prepared | None = None
    original: Callable[[], nn.Module] | None = None
    """The victim before it was defended, for attacks that compare the two; made when first asked for."""
    pace: dict[str, float] = field(default_factory=dict)
    """Seconds a row of a bare pass, measured once."""
    clean_answers: CleanAnswers = field(default_factory=CleanAnswers)


@dataclass(frozen=True)
class Prepared:
    """What an attack's preparation learnt, and what that cost in all."""

    result: Any
    queries: int
    seconds: float
