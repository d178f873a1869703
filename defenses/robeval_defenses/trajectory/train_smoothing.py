"""Smoothing in training and at inference."""

from dataclasses import dataclass
from typing import Annotated

import pytorch_lightning as pl
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import SceneBatch
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.trajectory.filters import Kernel, LastPoint
from robeval_defenses.trajectory.smoothing import Smoothed, smooth_observation
from robeval_defenses.trajectory.training import HistoryTraining, random_offset, with_history


@dataclass(frozen=True)
class TrainSmoothing(Defense):
    """Smooth histories in training and at inference; with `augment`, displace them at random before.

    Source: Zhang et al., arXiv:2201.05057 (train-time smoothing, and augmentation with smoothing).
    Differs: as `smoothing` and `augmentation` do.
    """

    augment: Annotated[
        bool, Field(description="also displace training targets at random, before smoothing")
    ] = False
    kernel: Annotated[Kernel, Field(description="the filter, as in smoothing")] = "mean3"
    smooth_last: Annotated[LastPoint, Field(description="what becomes of the last position")] = "keep"

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under its own loss on smoothed histories."""
        return SmoothedTraining(victim, seed, self)

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the filter that it was trained with."""
        return Smoothed(victim, self.kernel, self.smooth_last)


class SmoothedTraining(HistoryTraining):
    """The victim's own loss on smoothed histories and untouched futures."""

    def __init__(self, victim: Victim, seed: Seed, options: TrainSmoothing) -> None:
        super().__init__(victim, seed)
        self.options = options

    def row_loss(self, rows: SceneBatch, draw: Draws) -> Float[Tensor, " rows"]:
        """The victim's loss after displacing (an option) and smoothing."""
        if self.options.augment:
            rows = rows.moved(random_offset(rows, draw, deviation_m=1.0, probability=0.5))
        seen = smooth_observation(rows.observation(), self.options.kernel, self.options.smooth_last)
        return self.predictor.loss(with_history(rows, seen.past))
