"""Randomised smoothing of a victim that was trained under the same noise."""

from dataclasses import dataclass

import pytorch_lightning as pl
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.trajectory.randomised_smoothing import RandomisedSmoothing, noisy
from robeval_defenses.trajectory.training import HistoryTraining, with_history


@dataclass(frozen=True)
class TrainRandomisedSmoothing(RandomisedSmoothing):
    """Randomised smoothing with the same noise in training.

    Source: arXiv:2603.10821 (noise at training and evaluation).
    Differs: as `randomised-smoothing` does.
    """

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under its own loss on noisy histories."""
        return NoisyTraining(victim, seed, self)


class NoisyTraining(HistoryTraining):
    """The victim's own loss on noisy histories and untouched futures."""

    def __init__(self, victim: Victim, seed: Seed, options: RandomisedSmoothing) -> None:
        super().__init__(victim, seed)
        self.options = options

    def row_loss(self, rows: SceneBatch, draw: Draws) -> Float[Tensor, " rows"]:
        """The victim's loss after adding noise."""
        seen = noisy(rows.observation(), draw, self.options)
        return self.predictor.loss(with_history(rows, seen.past))
