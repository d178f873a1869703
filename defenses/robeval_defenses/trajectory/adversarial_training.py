"""Training on attacked tracks."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.trajectory.inner_attack import worst_offset
from robeval_defenses.trajectory.manoeuvres import with_manoeuvres
from robeval_defenses.trajectory.training import HistoryTraining


@dataclass(frozen=True)
class AdversarialTraining(Defense):
    """Go on training the clean victim on clean and attacked tracks, its encoding of both tied together.

    The objective is loss(clean) + loss(attacked) + tie * |features(attacked) - features(clean)|². The
    attack is a few normalised gradient steps against the most likely path, kept within what a vehicle can
    drive.

    Source: the idea of RobustTraj (Cao et al., arXiv:2208.00094).
    Differs: the paper's losses and generator are not published; objective, inner attack and manoeuvres are
    ours. A victim without `features` is trained without the tie.
    """

    warm_start: ClassVar[bool] = True

    inner_steps: Annotated[int, Field(ge=1, le=20, description="gradient steps of the attack inside")] = 3
    step_m: Annotated[
        float, Field(gt=0, description="what one such step moves the most sensitive frame, metres")
    ] = 0.3
    deviation_m: Annotated[float, Field(gt=0, description="largest displacement of a frame, metres")] = 1.0
    tie: Annotated[float, Field(ge=0, description="weight of the distance between both encodings")] = 0.1
    steps: Annotated[int, Field(ge=1, description="training steps after the warm start")] = 200
    augment: Annotated[bool, Field(description="replace half of the tracks by simulated manoeuvres")] = False

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under the adversarial objective."""
        return AttackedTraining(victim, seed, self)


class AttackedTraining(HistoryTraining):
    """Loss on clean and attacked tracks, and the distance between their encodings."""

    def __init__(self, victim: Victim, seed: Seed, options: AdversarialTraining) -> None:
        super().__init__(victim, seed, options.steps)
        self.options = options

    def row_loss(self, rows: SceneBatch, draw: Draws) -> Float[Tensor, " rows"]:
        """The objective of every row."""
        options = self.options
        if options.augment:
            rows = with_manoeuvres(rows, draw, probability=0.5)
        offset = worst_offset(self.predictor, rows, options.inner_steps, options.step_m, options.deviation_m)
        attacked = rows.moved(offset)
        both = SceneBatch.join([rows, attacked])
        clean_loss, attacked_loss = self.predictor.loss(both).chunk(2)
        return clean_loss + attacked_loss + options.tie * self._untied(both)

    def _untied(self, both: SceneBatch) -> Float[Tensor, " rows"]:
        """Squared distance between the encodings of the first and the second half."""
        if self.options.tie == 0 or type(self.predictor).features is TrajectoryVictim.features:
            return torch.zeros(len(both) // 2, device=both.device)
        clean, attacked = self.predictor.features(both.observation()).chunk(2)
        return (attacked - clean).square().sum(dim=-1)
