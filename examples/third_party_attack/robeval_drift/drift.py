"""A third party's attack on trajectory prediction."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from robeval import Attack, Budget, Draws, ThreatModel, View
from robeval.domains.trajectory.batch import SceneBatch


@dataclass(frozen=True)
class Drift(Attack[SceneBatch]):
    """Pushes every observed position of the target the same way and keeps the direction that hurts most.

    Source: a baseline; every attack must beat it.
    """

    threat = ThreatModel(access="score", budget=Budget("deviation", "m", 1.0))
    restarts: Annotated[int, Field(ge=1, description="random directions tried")] = 4

    def perturb(self, view: View[SceneBatch], batch: SceneBatch, budget: float, draw: Draws) -> SceneBatch:
        """One query of the victim for every direction."""
        angle = draw.repeat(self.restarts).uniform(high=2 * math.pi)
        push = budget * torch.stack([angle.cos(), angle.sin()], dim=-1)
        scenes = batch.repeat(self.restarts)
        seen = scenes.present[:, 0, : scenes.attacked, None]
        moved = scenes.moved(push.unsqueeze(1) * seen)
        miss = (view(moved).most_likely() - scenes.future()).norm(dim=-1).flatten(1).mean(dim=1)
        worst = miss.view(len(batch), self.restarts).argmax(dim=1)
        return moved.select(worst + self.restarts * torch.arange(len(batch), device=worst.device))
