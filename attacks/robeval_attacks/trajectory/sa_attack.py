"""SA-Attack: find the sensitive displacement, then drive it."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import OBJECTIVES, Goal, Objective, goals, yardstick
from robeval.optimise.ascent import ascend
from robeval.optimise.problem import Best, Looked
from robeval.optimise.rules import Adam, Plain
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.trajectory.pursuit import Hunt, lured, note_where
from robeval_attacks.trajectory.sa_vehicle import STATIONARY_M, Adaptive, CleanDrive, Published, Vehicle

PATIENCE, FLAT = 20, 0.1
ADAM_STEP_M, PLAIN_STEP = 0.1, 0.1
SQUARED = ("ade", "fde")


@dataclass(frozen=True)
class Reconstruction:
    """What a displacement is worth once a vehicle has driven it, one row each."""

    view: View[SceneBatch]
    scenes: SceneBatch
    goal: Goal
    vehicle: Vehicle
    exact: bool
    gain: float
    row: Int64[Tensor, " rows"]
    arrived: Bool[Tensor, " started"]
    """Of all rows that set out, whether any drive reached its goal; shared by the selections."""

    def look(self, variable: Tensor) -> Looked:
        """Value of the driven history; its slope in the displacement, whose scale is taken as a constant."""
        scale = self.vehicle.scale(variable.detach()).view(-1, 1, 1)
        free = variable.detach().requires_grad_(self.exact)
        with torch.inference_mode(not self.exact):  # its many small steps are a quarter faster
            rebuilt = self.vehicle.rebuild((scale * free).double())
        self.arrived[self.row] |= rebuilt.arrived
        # Rows that are driven nowhere depend on nothing; the zero keeps them differentiable.
        offset = rebuilt.offset.to(variable.dtype) + 0 * free
        if not self.exact:
            offset = offset.detach().clone().requires_grad_()
        value, lure = lured(self.view, self.goal, self.scenes.moved(offset))
        (slope,) = torch.autograd.grad(lure.sum(), free if self.exact else offset)
        return Looked(
            value.detach(), offset.detach(), slope * (self.gain if self.exact else self.gain * scale)
        )

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        """The displacement itself is free; only what is followed is scaled."""
        return variable + step

    def select(self, rows: Tensor) -> "Reconstruction":
        """Some rows."""
        return replace(
            self,
            scenes=self.scenes.select(rows),
            goal=self.goal.select(rows),
            vehicle=self.vehicle.select(rows),
            row=self.row[rows],
        )


@dataclass
class Sized:
    """Adam's steps, each row's in its own size."""

    rule: Adam
    size: Float[Tensor, "rows 1 1"]

    def step(self, slope: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows ..."]:
        """The step of unit size times the row's size."""
        return self.size * self.rule.step(slope)

    def select(self, rows: Tensor) -> "Sized":
        """Some rows."""
        return Sized(self.rule.select(rows), self.size[rows])


@dataclass(frozen=True)
class SAAttack(Attack[SceneBatch]):
    """Displace the history where it hurts, then have a vehicle drive it: stealthy, since it was driven.

    Every iterate is rebuilt by a pure-pursuit vehicle that ends in the first position after the attacked
    frames, so histories are smooth whatever was searched. `adaptive` (default) is this project's reading of
    the paper's intent and keeps the budget; `repo` is what the authors' code does: constant speed and
    look-ahead, no effect below about 2 m/s, and histories that may leave the budget, which the evaluation
    then counts as invalid. Neither promises the kinematic bounds of `search`.

    A target is left clean, with a status, if it travels less than a metre (`stationary`), misses an attacked
    frame or the one behind (`incomplete`), or no drive reached the goal (`not_converged`).

    Source: "SA-Attack: Speed-adaptive stealthy adversarial attack on trajectory prediction", IEEE IV 2024,
    arXiv:2404.12612; constants, step sizes and stopping rules as in the authors' repository.
    Differs: see `sa_vehicle`; in `adaptive` Adam as in the paper's figure instead of plain steps, look-ahead
    of 1 s (2 to 5 m), curvature at most 0.2 1/m, the clean speed profile. Windows are summed in `repo`,
    averaged in `adaptive`; the objectives are those of this domain.
    """

    threat = ThreatModel(
        access="white-box",
        budget=Budget("deviation", "m", 1.0, "how far any observed position of the target may be moved"),
    )

    mode: Annotated[
        Literal["adaptive", "repo"],
        Field(description="adaptive: the paper's intent; repo: the authors' code"),
    ] = "adaptive"
    objective: Annotated[Objective, Field(description="what to make worse; all: the worst of the six")] = (
        "ade"
    )
    restarts: Annotated[int, Field(ge=1, description="independent random starts, the best is kept")] = 10
    iterations: Annotated[int, Field(ge=1, description="steps of a restart")] = 50
    gradient: Annotated[
        Literal["ste", "exact"],
        Field(description="ste: as if driving changed nothing (published); exact: through the drive"),
    ] = "ste"
    optimiser: Annotated[
        Literal["by-mode", "adam", "gd"],
        Field(description="adam, plain gradient steps, or by mode: adam in adaptive, gd in repo"),
    ] = "by-mode"
    max_curvature: Annotated[float, Field(gt=0, description="steering lock in adaptive mode, 1/m")] = 0.2
    max_curvature_rate: Annotated[
        float | None, Field(gt=0, description="how fast it steers in adaptive mode, 1/m² (0.3 is brisk)")
    ] = None
    surrogate: Annotated[
        str | None, Field(description="victim plugin whose gradients are used instead (transfer)")
    ] = None

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """The best driven history over all restarts and iterations."""
        offset = torch.zeros_like(batch.target[:, : batch.attacked])
        drivable = self._drivable(view, batch)
        if not bool(drivable.any()) or budget <= 0:
            return batch.moved(offset)
        scenes = batch.select(drivable)
        hunt = Hunt.of(view, scenes, budget, self.objective, self.restarts)
        start = hunt.draws(draw.select(drivable)).uniform(
            batch.attacked, 2, low=-budget, high=budget, dtype=batch.track.dtype
        )
        problem = self._problem(hunt)
        best = ascend(problem, start, self._rule(hunt), self.iterations, PATIENCE, FLAT)
        view.trace(best.traced())
        per_scene = (len(scenes), -1)
        note_where(view, "not_converged", scenes, ~problem.arrived.view(per_scene).any(dim=1))
        note_where(view, "nan", scenes, best.broken.view(per_scene).any(dim=1))
        offset[drivable] = _chosen(hunt, best)
        return batch.moved(offset)

    def _drivable(self, view: View[SceneBatch], batch: SceneBatch) -> Bool[Tensor, " batch"]:
        """Which targets can be rebuilt; says why the others cannot."""
        complete = batch.present[:, 0, : batch.attacked + 1].all(dim=1)
        moves = CleanDrive.of(batch).arc_m[:, -1] >= STATIONARY_M
        note_where(view, "incomplete", batch, ~complete)
        note_where(view, "stationary", batch, complete & ~moves)
        return complete & moves

    def _problem(self, hunt: Hunt) -> Reconstruction:
        times = self.restarts * len(hunt.objectives)
        clean, rows = CleanDrive.of(hunt.batch).repeat(times), len(hunt.batch) * times
        vehicle: Vehicle = Published(clean, hunt.budget_m)
        if self.mode == "adaptive":
            rate = math.inf if self.max_curvature_rate is None else self.max_curvature_rate
            vehicle = Adaptive(clean, hunt.budget_m, self.max_curvature, rate)
        row = torch.arange(rows, device=clean.points.device)
        return Reconstruction(
            view=hunt.view,
            scenes=hunt.batch.repeat(times),
            goal=goals(yardstick(hunt.batch).repeat(self.restarts), hunt.objectives),
            vehicle=vehicle,
            exact=self.gradient == "exact",
            gain=float(hunt.batch.windows) if self.mode == "repo" else 1.0,
            row=row,
            arrived=torch.zeros_like(row, dtype=torch.bool),
        )

    def _rule(self, hunt: Hunt) -> Sized | Plain:
        adam = self.optimiser == "adam" or (self.optimiser == "by-mode" and self.mode == "adaptive")
        step, less = (ADAM_STEP_M, 2) if adam else (PLAIN_STEP, 10)
        size = hunt.per_row({name: step / (less if name in SQUARED else 1) for name in OBJECTIVES})
        return Sized(Adam(1.0), size) if adam else Plain(size)


def _chosen(hunt: Hunt, best: Best) -> Float[Tensor, "batch attacked 2"]:
    """The best restart of every scene; of several objectives the one with the largest Euclidean error."""
    shape = (len(hunt.batch), hunt.restarts, len(hunt.objectives))
    restart = best.value.view(shape).argmax(dim=1)
    scene = torch.arange(shape[0], device=restart.device).unsqueeze(1)
    goal = torch.arange(shape[2], device=restart.device)
    found = best.point.view(*shape, *best.point.shape[1:])[scene, restart, goal]
    found = torch.where(hunt.sensible[..., None, None], found, torch.zeros_like(found))
    return found[:, 0] if shape[2] == 1 else hunt._worst(found)
