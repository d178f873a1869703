"""Adam over rows that may leave: torch's keeps its moments by parameter, so that a row could not be dropped."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Adam:
    """Moments of the gradients so far.

    Source: Kingma and Ba, arXiv:1412.6980; weight decay inside the gradient as torch.optim.Adam has it, or decoupled
    (Loshchilov and Hutter, arXiv:1711.05101).
    """

    rate: float
    decay: float
    decoupled: bool
    mean: Float[Tensor, "rows ..."]
    square: Float[Tensor, "rows ..."]
    steps: int = 0

    @classmethod
    def of(cls, value: Float[Tensor, "rows ..."], rate: float, decay: float, decoupled: bool) -> "Adam":
        """At the start."""
        return cls(rate, decay, decoupled, torch.zeros_like(value), torch.zeros_like(value))

    def step(
        self, value: Float[Tensor, "rows ..."], gradient: Float[Tensor, "rows ..."]
    ) -> tuple["Adam", Float[Tensor, "rows ..."]]:
        """The moments and the value after one step down."""
        if not self.decoupled:
            gradient = gradient + self.decay * value
        kept = value * (1 - self.rate * self.decay) if self.decoupled else value
        mean = torch.lerp(self.mean, gradient, 1 - FIRST)
        square = SECOND * self.square + (1 - SECOND) * gradient.square()
        steps = self.steps + 1
        size = (square / (1 - SECOND**steps)).sqrt() + TINY
        moved = kept - self.rate * (mean / (1 - FIRST**steps)) / size
        return replace(self, mean=mean, square=square, steps=steps), moved

    def select(self, rows: Tensor) -> "Adam":
        """The moments of some rows."""
        return replace(self, mean=self.mean[rows], square=self.square[rows])
