"""The gradient search over what a driver controls: acceleration and curvature."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import Objective
from robeval.optimise.ascent import ascend
from robeval.optimise.problem import Looked
from robeval.optimise.rules import Adam
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.trajectory.driving import Drive, drive
from robeval_attacks.trajectory.pursuit import Hunt, Pursuit, note_where

MOMENTUM, MEMORY = 0.9, 0.99
SMALL_OBJECTIVE = 0.5
HALVINGS = 10
SLOPE_CAPS = 20.0
"""Slopes are cut at this many times the largest change of a control."""


@dataclass(frozen=True, kw_only=True)
class Steering(Pursuit):
    """Changes of control to find; what they stand for is the displacement that driving with them gives."""

    drive: Drive
    price: float

    def look(self, variable: Tensor) -> Looked:
        """Value at the longest feasible half, quarter... of the change; slope with the price of halving."""
        free = variable.detach().requires_grad_()
        offset = self.drive.offset(free * self._feasible_share(variable))
        value, lure = self.lured(offset)
        scale = value.detach().abs().clamp_min(SMALL_OBJECTIVE)
        merit = lure - self.price * scale * self.corridor.broken(self.drive.offset(free))
        (slope,) = torch.autograd.grad(merit.sum(), free)
        cap = SLOPE_CAPS * self.drive.cap
        return Looked(value.detach(), offset.detach(), slope.clamp(-cap, cap))

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        """The step, within what a driver may change."""
        return (variable + step).clamp(self.drive.low, self.drive.high)

    @torch.no_grad()
    def _feasible_share(self, variable: Tensor) -> Float[Tensor, "rows 1 1"]:
        shares = 2.0 ** -torch.arange(HALVINGS, device=variable.device, dtype=variable.dtype)
        shares = torch.cat([shares, shares.new_zeros(1)])
        tried = variable.unsqueeze(1) * shares.view(1, -1, 1, 1)
        offsets = self.drive.repeat(len(shares)).offset(tried.flatten(0, 1))
        good = self.corridor.repeat(len(shares)).holds(offsets).view(-1, len(shares))
        good[:, -1] = True
        return shares[good.to(torch.uint8).argmax(dim=1)].view(-1, 1, 1)

    def select(self, rows: Tensor) -> "Steering":
        """Some rows."""
        part = super().select(rows)
        return Steering(
            part.view, part.scenes, part.goal, part.corridor, drive=self.drive.select(rows), price=self.price
        )


@dataclass(frozen=True)
class Control(Attack[SceneBatch]):
    """Gradient steps on acceleration and curvature, driven through a unicycle: no step sideways is possible.

    A change that would leave the bounds (displacement and kinematics) is halved until it does not. The first
    restart starts from the clean controls, the others from random ones.

    Source: after Cao et al., "AdvDO", arXiv:2209.08744; model, caps, step sizes and decay as in the STEP
    framework (repository of arXiv:2603.10821).
    Differs: kept within the same kinematic bounds as the other searches; steps by Adam and a price on broken
    bounds as in `search-plus` (plain steps end at the first bound they meet: a third of the effect);
    standing points keep their heading instead of being interpolated; no log barrier.
    """

    threat = ThreatModel(
        access="white-box",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
        constraints=("kinematics",),
    )

    objective: Annotated[Objective, Field(description="what to make worse; all: the worst of the six")] = (
        "ade"
    )
    restarts: Annotated[int, Field(ge=1, description="starts; the first from clean controls")] = 1
    iterations: Annotated[int, Field(ge=1, description="gradient steps of a restart")] = 100
    acceleration_m_s2: Annotated[float, Field(gt=0, description="largest change of acceleration, m/s²")] = 2.0
    curvature_1_m: Annotated[float, Field(gt=0, description="largest change of curvature, 1/m")] = 0.05
    step: Annotated[
        float, Field(gt=0, description="gradient step on curvature; acceleration's in proportion")
    ] = 0.01
    decay: Annotated[float, Field(gt=0, le=1, description="factor on the step after every iteration")] = 0.99
    price: Annotated[float, Field(gt=0, description="price of breaking a bound by its own size")] = 3.0
    surrogate: Annotated[
        str | None, Field(description="victim plugin whose gradients are used instead (transfer)")
    ] = None

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """The best driven displacement over all restarts and iterations."""
        hunt = Hunt.of(view, batch, budget, self.objective, self.restarts)
        if batch.attacked < 2:
            note_where(view, "infeasible", batch, torch.ones(len(batch), dtype=torch.bool))
            return batch
        driven = drive(batch, self.acceleration_m_s2, self.curvature_1_m)
        note_where(view, "stationary", batch, driven.standing)
        rows = self.restarts * len(hunt.objectives)
        problem = hunt.pursuit(Steering, drive=driven.repeat(rows), price=self.price)
        first = torch.arange(self.restarts, device=batch.device).repeat_interleave(len(hunt.objectives)) == 0
        drawn = hunt.draws(draw).uniform(batch.attacked - 1, 2, low=-1.0, high=1.0, dtype=batch.track.dtype)
        start = drawn * problem.drive.cap * ~first.repeat(len(batch)).view(-1, 1, 1)
        start = problem.move(torch.zeros_like(start), start)
        size = start.new_tensor([self.step * self.acceleration_m_s2 / self.curvature_1_m, self.step])
        rule = Adam(size.view(1, 1, 2), MOMENTUM, MEMORY, fade=self.decay)
        return hunt.catch(ascend(problem, start, rule, self.iterations))
