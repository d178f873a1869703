"""What an attacker may see, spend and touch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

Access = Literal["none", "white-box", "score", "decision", "rank", "data", "weights"]
Knowledge = Literal["adaptive", "oblivious"]

ACCESS: tuple[str, ...] = get_args(Access)

MEANING: dict[str, str] = {
    "none": "nothing: the victim is never asked",
    "white-box": "weights and gradients",
    "score": "the victim's full output, no gradient",
    "decision": "the victim's final decision only",
    "rank": "an ordered list and nothing else",
    "data": "the training data",
    "weights": "the trained weights",
}


@dataclass(frozen=True)
class Budget:
    """What the attacker may spend, in the domain's units.

    The domain measures it under the same name in `Domain.spent`.
    """

    name: str
    unit: str
    default: float
    meaning: str = ""
    unbounded: float | None = None
    """A budget at which every victim must fail, if the domain has one: the audit tries it."""

    def __post_init__(self) -> None:
        if not 0 <= self.default < math.inf:
            raise ValueError(
                f"the default of budget '{self.name}' must be finite and ≥ 0, not {self.default:g}"
            )

    def __str__(self) -> str:
        return f"{self.name} ≤ {self.default:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class ThreatModel:
    """The grant under which an attack's figures hold.

    `constraints` name further measures of `Domain.spent` that must stay at or below 1 (a share of what is
    allowed), for example ``("kinematics",)``. `queries` limits what one example may ask of the victim.
    """

    access: Access
    budget: Budget
    goal: str = "untargeted: raise the victim's error"
    queries: int | None = None
    constraints: tuple[str, ...] = ()
    original: bool = False
    """Whether the undefended victim is public, whatever the access to the defended one: `View.original`."""

    def __post_init__(self) -> None:
        if self.access not in ACCESS:
            raise ValueError(f"access {self.access!r} is not one of {', '.join(ACCESS)}")

    def granting(self, budget: float) -> ThreatModel:
        """The same threat model at another budget."""
        return replace(self, budget=replace(self.budget, default=budget))

    def __str__(self) -> str:
        limits = [str(self.budget), *self.constraints]
        if self.queries is not None:
            limits.append(f"{self.queries} queries an example")
        if self.original:
            limits.append("knows the undefended victim")
        return f"{self.access}; {', '.join(limits)}; {self.goal}"
