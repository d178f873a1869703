"""What an optimiser is given and what it hands back; nothing here knows about a domain."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Scored(NamedTuple):
    """Feasible points and what they are worth: larger is better for the attacker."""

    value: Float[Tensor, " rows"]
    point: Float[Tensor, "rows ..."]


class Looked(NamedTuple):
    """One look around: feasible points, their worth, and the slope at the variables they stand for."""

    value: Float[Tensor, " rows"]
    point: Float[Tensor, "rows ..."]
    slope: Float[Tensor, "rows ..."]


@runtime_checkable
class Scores(Protocol):
    """A problem that can be asked for values only."""

    def score(self, variable: Tensor) -> Scored:
        """The feasible point of every variable and its value."""
        ...


@runtime_checkable
class Slopes(Protocol):
    """A problem that can be climbed. Rows never mix, so that some of them can be left behind."""

    def look(self, variable: Tensor) -> Looked:
        """The feasible point of every variable, its value, and the slope at the variable."""
        ...

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        """Where a step leads; usually ``variable + step``."""
        ...

    def select(self, rows: Tensor) -> "Slopes":
        """The problem for some of its rows."""
        ...


@dataclass(frozen=True)
class Best:
    """The best feasible point of every row so far; rows without one have zero, worth minus infinity."""

    value: Float[Tensor, " rows"]
    point: Float[Tensor, "rows ..."]
    broken: Bool[Tensor, " rows"]
    """Rows that met a value or a slope that is not finite, and stopped there."""
    trace: list[float] = field(default_factory=list)
    """The sum over the rows of the best value after each look; rows without one yet are left out."""

    def traced(self) -> Tensor:
        """`trace` as a tensor [looks], for `View.trace`."""
        return torch.tensor(self.trace, dtype=torch.float64)

    def looked(self) -> None:
        """Another look is over."""
        self.trace.append(float(self.value[self.value.isfinite()].double().sum()))

    @classmethod
    def none(cls, like: Float[Tensor, "rows ..."]) -> "Best":
        """Nothing found yet for points shaped like `like`."""
        count = len(like)
        start = torch.full((count,), -torch.inf, dtype=like.dtype, device=like.device)
        return cls(start, torch.zeros_like(like), torch.zeros(count, dtype=torch.bool, device=like.device))

    def offer(
        self,
        rows: Int[Tensor, " offered"],
        value: Float[Tensor, " offered"],
        point: Float[Tensor, "offered ..."],
        valid: Bool[Tensor, " offered"] | None = None,
    ) -> Bool[Tensor, " offered"]:
        """Keep what is better than before, in place; says where it was."""
        better = value > self.value[rows]
        if valid is not None:
            better = better & valid
        kept = rows[better]
        self.value[kept] = value[better].to(self.value.dtype)
        self.point[kept] = point[better]
        return better
