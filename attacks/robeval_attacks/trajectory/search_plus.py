"""The gradient search with a solver that uses the freedom that the bounds leave."""

from dataclasses import dataclass
from typing import Annotated

import torch
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
from robeval_attacks.trajectory.pursuit import Hunt, Pursuit

MOMENTUM, MEMORY = 0.9, 0.99
SMALL_OBJECTIVE = 0.5


@dataclass(frozen=True)
class Penalised(Pursuit):
    """The objective at the feasible displacement, minus a price for every bound that the free one breaks."""

    price: float = 3.0

    def look(self, variable: Tensor) -> Looked:
        """Value at the projection; slope of the value, its scale constant, less the price of needing one."""
        free = variable.detach().requires_grad_()
        offset = self.corridor.project(free).offset
        value, lure = self.lured(offset)
        scale = value.detach().abs().clamp_min(SMALL_OBJECTIVE)
        merit = lure / scale - self.price * self.corridor.broken(free)
        (slope,) = torch.autograd.grad(merit.sum(), free)
        return Looked(value.detach(), offset.detach(), slope)


@dataclass(frozen=True)
class SearchPlus(Attack[SceneBatch]):
    """Adam on the objective with a price on broken bounds; every iterate is judged once shrunk into them.

    Same variables, objectives and feasible set as `search`, 1.5 times its effect: a claim of robustness
    should stand against this one.

    Source: this project; the problem is that of Zhang et al., arXiv:2201.05057. One pass forward and one
    backward per iteration, as many as theirs.
    """

    threat = ThreatModel(
        access="white-box",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
        constraints=("kinematics",),
    )

    objective: Annotated[Objective, Field(description="what to make worse; all: the worst of the six")] = (
        "ade"
    )
    restarts: Annotated[int, Field(ge=1, description="independent random starts, the best is kept")] = 4
    iterations: Annotated[int, Field(ge=1, description="Adam steps of a restart")] = 50
    step_m: Annotated[float, Field(gt=0, description="Adam's step, metres")] = 0.05
    price: Annotated[float, Field(gt=0, description="price of breaking a bound by its own size")] = 3.0
    surrogate: Annotated[
        str | None, Field(description="victim plugin whose gradients are used instead (transfer)")
    ] = None

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """The best displacement over all restarts and iterations."""
        hunt = Hunt.of(view, batch, budget, self.objective, self.restarts)
        start = hunt.draws(draw).uniform(batch.attacked, 2, low=-budget, high=budget, dtype=batch.track.dtype)
        problem = hunt.pursuit(Penalised, price=self.price)
        start = problem.corridor.project(start).offset
        return hunt.catch(ascend(problem, start, Adam(self.step_m, MOMENTUM, MEMORY), self.iterations))
