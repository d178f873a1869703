"""The published gradient search for a displacement of the target's history."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import OBJECTIVES, Objective
from robeval.optimise.ascent import ascend
from robeval.optimise.problem import Looked
from robeval.optimise.rules import Plain
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.trajectory.pursuit import Hunt, Pursuit

PATIENCE = 20
FLAT = 0.1
SQUARED = ("ade", "fde")


@dataclass(frozen=True)
class Climb(Pursuit):
    """Slopes at the projected displacement, its scale taken as a constant."""

    def look(self, variable: Tensor) -> Looked:
        """Value at the projection; the slope is the projection's, times its scale."""
        projected = self.corridor.project(variable.detach(), self.bisect)
        offset = projected.offset.requires_grad_()
        value, lure = self.lured(offset)
        (slope,) = torch.autograd.grad(lure.sum(), offset)
        return Looked(value.detach(), offset.detach(), slope * projected.scale.view(-1, 1, 1))


@dataclass(frozen=True)
class Search(Attack[SceneBatch]):
    """Plain gradient steps on an unbounded displacement, each judged after shrinking it into the bounds.

    The published white-box attack with its published settings; known to be weak (the variable drifts
    outwards, so that steps mostly shrink the scale). Use it to reproduce figures and `search-plus` to claim
    robustness.

    Source: Zhang et al., "On Adversarial Robustness of Trajectory Prediction for Autonomous Vehicles",
    arXiv:2201.05057; step sizes and stopping rules as in the authors' repository.
    Differs: the scale is the largest feasible one; windows are averaged (their code sums them).
    """

    threat = ThreatModel(
        access="white-box",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
        constraints=("kinematics",),
    )

    objective: Annotated[Objective, Field(description="what to make worse; all: the worst of the six")] = (
        "ade"
    )
    restarts: Annotated[int, Field(ge=1, description="independent random starts, the best is kept")] = 10
    iterations: Annotated[int, Field(ge=1, description="gradient steps of a restart")] = 100
    step: Annotated[
        float, Field(gt=0, description="gradient step for the directions; a tenth of it for ade and fde")
    ] = 0.1
    projection: Annotated[
        Literal["scan", "bisect"],
        Field(description="scan: the largest feasible scale; bisect: a feasible one"),
    ] = "scan"
    surrogate: Annotated[
        str | None, Field(description="victim plugin whose gradients are used instead (transfer)")
    ] = None

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """The best displacement over all restarts and iterations."""
        hunt = Hunt.of(view, batch, budget, self.objective, self.restarts)
        start = hunt.draws(draw).uniform(batch.attacked, 2, low=-budget, high=budget, dtype=batch.track.dtype)
        size = hunt.per_row({name: self.step / (10 if name in SQUARED else 1) for name in OBJECTIVES})
        climb = hunt.pursuit(Climb, bisect=self.projection == "bisect")
        return hunt.catch(ascend(climb, start, Plain(size), self.iterations, PATIENCE, FLAT))
