"""From a slope to a step, row by row."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Rule(Protocol):
    """Turns slopes into steps; may remember earlier slopes."""

    def step(self, slope: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """The step to take now."""
        ...

    def select(self, rows: Tensor) -> "Rule":
        """The rule for some of its rows, memory included."""
        ...


@dataclass
class Plain:
    """A fixed share of the slope, the same or different for each row, that may fade from look to look."""

    size: float | Tensor
    """A number, or a tensor [rows or 1, ...] that broadcasts with the slope."""
    fade: float = 1.0
    taken: int = 0

    def step(self, slope: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """``size * fade**n * slope`` at the nth step."""
        step = self.size * self.fade**self.taken * slope
        self.taken += 1
        return step

    def select(self, rows: Tensor) -> "Plain":
        """Some rows."""
        return replace(self, size=_of_rows(self.size, rows))


@dataclass
class Adam:
    """Adam with bias correction, uphill.

    Source: Kingma and Ba, arXiv:1412.6980, algorithm 1.
    """

    size: float | Tensor
    """A number, or a tensor [rows or 1, ...] that broadcasts with the slope."""
    momentum: float = 0.9
    memory: float = 0.999
    tiny: float = 1e-8
    fade: float = 1.0
    """Factor on the step after every look."""
    taken: int = 0
    mean: Tensor | None = None
    square: Tensor | None = None

    def step(self, slope: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """The next step."""
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(slope), torch.zeros_like(slope)
        self.taken += 1
        self.mean = self.mean.lerp(slope, 1 - self.momentum)
        self.square = self.square.lerp(slope * slope, 1 - self.memory)
        mean = self.mean / (1 - self.momentum**self.taken)
        spread = (self.square / (1 - self.memory**self.taken)).sqrt()
        return self.size * self.fade ** (self.taken - 1) * mean / (spread + self.tiny)

    def select(self, rows: Tensor) -> "Adam":
        """Some rows."""
        mean = None if self.mean is None else self.mean[rows]
        square = None if self.square is None else self.square[rows]
        return replace(self, size=_of_rows(self.size, rows), mean=mean, square=square)


def _of_rows(size: float | Tensor, rows: Tensor) -> float | Tensor:
    return size[rows] if isinstance(size, Tensor) and len(size) > 1 else size
