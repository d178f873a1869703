"""Projected gradient descent from robeval's own parts: a problem to climb, a rule for the steps, the shared ascent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.images.domain import Pictures
from robeval.optimise.ascent import ascend
from robeval.optimise.problem import Looked
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws


@dataclass(frozen=True)
class Box:
    """The victim's loss inside an l_inf ball that stays within [0, 1]; the variable is the perturbed picture."""

    ask: Callable[[Pictures], Tensor]
    clean: Pictures
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, ask: Callable[[Pictures], Tensor], clean: Pictures, radius: float) -> Box:
        """The ball of a radius around clean pictures."""
        return cls(ask, clean, (clean.picture - radius).clamp_(min=0), (clean.picture + radius).clamp_(max=1))

    def look(self, variable: Tensor) -> Looked:
        """Loss and slope at the pictures."""
        live = variable.detach().requires_grad_()
        value = cross_entropy(self.ask(self.clean.replace(picture=live)), self.clean.label, reduction="none")
        (slope,) = torch.autograd.grad(value.sum(), live)
        return Looked(value.detach(), live.detach(), slope)

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        """The step, and back into the ball."""
        return torch.clamp(variable + step, self.low, self.high)

    def select(self, rows: Tensor) -> Box:
        """Some pictures."""
        return replace(self, clean=self.clean.select(rows), low=self.low[rows], high=self.high[rows])


@dataclass
class Signed:
    """Steps of one size in every coordinate."""

    size: float

    def step(self, slope: Tensor) -> Tensor:
        """`size` in the direction of each coordinate's slope."""
        return self.size * slope.sign()

    def select(self, rows: Tensor) -> Signed:
        """The same for all rows."""
        return self


@dataclass(frozen=True)
class PGD(Attack[Pictures]):
    """Signed gradient steps from a random point of the ball; every picture's best point is kept.

    Source: Madry et al., arXiv:1706.06083.
    Differs: returns the best point of the way instead of the last.
    """

    threat = ThreatModel("white-box", Budget("distance", "", 8 / 255, "largest change of a pixel", 1.0))
    iterations: Annotated[int, Field(ge=1, description="passes forward and backward")] = 20
    step_size: Annotated[float, Field(gt=0, description="change of a pixel a step")] = 2 / 255

    def perturb(self, view: View[Pictures], batch: Pictures, budget: float, draw: Draws) -> Pictures:
        """The worst picture on the way up the loss."""
        box = Box.around(view, batch, budget)
        noise = draw.uniform(*batch.picture.shape[1:], low=-budget, high=budget)
        start = box.move(batch.picture, noise)
        best = ascend(box, start, Signed(self.step_size), self.iterations)
        view.trace(best.traced())
        return batch.replace(picture=best.point)
