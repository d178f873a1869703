"""What the searching attacks share: a displacement to find per row, and the way from examples to rows.

Rows are examples x restarts x objectives, an example's rows adjacent and the objectives fastest. Objectives
share the draws of their restart, so that `all` finds what the six single searches would have found.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.budget import complete
from robeval.domains.trajectory.corridor import Corridor
from robeval.domains.trajectory.kinematics import corridor, settle
from robeval.domains.trajectory.objectives import OBJECTIVES, Goal, Objective, goals, pursuable, yardstick
from robeval.domains.trajectory.victims.base import displacement
from robeval.optimise.problem import Best, Scored
from robeval.plugins.views import View
from robeval.seeding import Draws

P = TypeVar("P", bound="Pursuit")

DISCRETION = 1.0
"""The price of an alarm. It steers the search only: what is kept is what hurts the defended victim most."""


def lured(view: View[SceneBatch], goal: Goal, moved: SceneBatch) -> tuple[Tensor, Tensor]:
    """The objective at the victim's most likely path, and the same less the price of alarms: [rows] each."""
    value = goal.value(view(moved).most_likely())
    return value, value - DISCRETION * view.alarm(moved)


@dataclass(frozen=True)
class Pursuit:
    """A displacement of the attacked frames to find for every row: what it is worth, and what is feasible."""

    view: View[SceneBatch]
    scenes: SceneBatch
    goal: Goal
    corridor: Corridor
    bisect: bool = False

    def value(self, offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, " rows"]:
        """The objective at the victim's most likely path."""
        return self.goal.value(self.view(self.scenes.moved(offset)).most_likely())

    def lured(self, offset: Float[Tensor, "rows attacked 2"]) -> tuple[Tensor, Tensor]:
        """The value, and what to climb: it less a price for every alarm of a detector in the victim; [rows] each."""
        return lured(self.view, self.goal, self.scenes.moved(offset))

    @torch.no_grad()
    def score(self, variable: Tensor) -> Scored:
        """The feasible displacement that a variable stands for, and its worth."""
        offset = self.corridor.project(variable, self.bisect).offset
        return Scored(self.value(offset), offset)

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        """Variables are not bounded themselves: only what they stand for is."""
        return variable + step

    def repeat(self: P, times: int) -> P:
        """Every row `times` times, adjacent."""
        return replace(
            self,
            scenes=self.scenes.repeat(times),
            goal=self.goal.repeat(times),
            corridor=self.corridor.repeat(times),
        )

    def select(self: P, rows: Tensor) -> P:
        """Some rows."""
        return replace(
            self,
            scenes=self.scenes.select(rows),
            goal=self.goal.select(rows),
            corridor=self.corridor.select(rows),
        )


@dataclass(frozen=True)
class Hunt:
    """The rows that an attack makes of its examples."""

    view: View[SceneBatch]
    batch: SceneBatch
    budget_m: float
    objectives: tuple[str, ...]
    restarts: int
    sensible: Bool[Tensor, "batch objectives"]

    @classmethod
    def of(
        cls, view: View[SceneBatch], batch: SceneBatch, budget_m: float, objective: Objective, restarts: int
    ) -> "Hunt":
        """Lay out the rows; notes `incomplete`, `stationary` and `unknown_future`, which cannot be hunted."""
        names = OBJECTIVES if objective == "all" else (objective,)
        able = pursuable(yardstick(batch))[:, [OBJECTIVES.index(name) for name in names]]
        sided = torch.tensor([name not in ("ade", "fde") for name in names], device=able.device)
        note_where(view, "stationary", batch, (~able & sided).any(dim=1))
        note_where(view, "unknown_future", batch, (~able & ~sided).any(dim=1))
        note_where(view, "incomplete", batch, ~complete(batch))
        return cls(view, batch, budget_m, names, restarts, able & complete(batch).unsqueeze(1))

    def pursuit(self, kind: type[P], **options: Any) -> P:
        """The problem of all rows. Rows without a sensible objective may not move at all."""
        names, times = self.objectives, self.restarts * len(self.objectives)
        scenes = self.batch.repeat(times)
        goal = goals(yardstick(self.batch).repeat(self.restarts), names)
        cap = (self.sensible * self.budget_m).to(self.batch.track.dtype)
        cap = cap.unsqueeze(1).expand(-1, self.restarts, -1).flatten()
        within = lane(self.batch, self.budget_m).repeat(times)._replace(deviation=cap)
        return kind(self.view, scenes, goal, within, **options)

    def draws(self, draw: Draws) -> Draws:
        """A stream for every row; the objectives of a restart share theirs."""
        number = torch.arange(len(draw) * self.restarts, device=draw.keys.device)
        return draw.repeat(self.restarts).select(number.repeat_interleave(len(self.objectives)))

    def per_row(self, table: dict[str, float]) -> Float[Tensor, "rows 1 1"]:
        """A number for every row by its objective."""
        values = [table[name] for name in self.objectives] * (len(self.batch) * self.restarts)
        return self.batch.track.new_tensor(values).view(-1, 1, 1)

    def catch(self, best: Best) -> SceneBatch:
        """The best restart of every example; of several objectives the one with the largest Euclidean ADE."""
        self.view.trace(best.traced())
        shape = (len(self.batch), self.restarts, len(self.objectives))
        restart = best.value.view(shape).argmax(dim=1, keepdim=True)
        offsets = best.point.view(*shape, *best.point.shape[1:])
        index = restart[..., None, None].expand(-1, -1, -1, *offsets.shape[3:])
        found = offsets.gather(1, index).squeeze(1)
        caught = found[:, 0] if shape[2] == 1 else self._worst(found)
        broken = best.broken.view(shape[0], -1).any(dim=1)
        note_where(self.view, "nan", self.batch, broken)
        return deliver(self.view, self.batch, caught, self.budget_m, ~broken & self.sensible.any(dim=1))

    @torch.no_grad()
    def _worst(
        self, found: Float[Tensor, "batch objectives attacked 2"]
    ) -> Float[Tensor, "batch attacked 2"]:
        count = len(self.objectives)
        scenes = self.batch.repeat(count).moved(found.flatten(0, 1))
        error = displacement(self.view(scenes).most_likely(), scenes)
        ade = error.flatten(1).mean(dim=1).view(-1, count).nan_to_num(nan=-torch.inf)
        worst = torch.where(self.sensible, ade, torch.full_like(ade, -torch.inf)).argmax(dim=1)
        return found[torch.arange(len(found), device=found.device), worst]


def lane(batch: SceneBatch, budget_m: float) -> Corridor:
    """The feasible displacements of every example's target."""
    return corridor(batch.target, batch.limits, budget_m, batch.attacked, batch.present[:, 0])


def deliver(
    view: View[SceneBatch],
    batch: SceneBatch,
    offset: Float[Tensor, "batch attacked 2"],
    budget_m: float,
    expected: Bool[Tensor, " batch"],
) -> SceneBatch:
    """The displaced scenes, checked as the receiver will; `infeasible`: a move was `expected`, none found."""
    offset = settle(offset.detach(), batch.target, batch.limits, budget_m, batch.present[:, 0])
    still = (offset == 0).flatten(1).all(dim=1)
    if budget_m > 0:
        note_where(view, "infeasible", batch, expected & still)
    return batch.moved(offset)


def note_where(view: View[SceneBatch], status: str, batch: SceneBatch, where: Bool[Tensor, " batch"]) -> None:
    """Note a status if any example has it."""
    if bool(where.any()):
        view.note(status, batch, where)
