"""Training on randomly perturbed tracks."""

from dataclasses import dataclass
from typing import Annotated

import pytorch_lightning as pl
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.trajectory.training import HistoryTraining, random_offset


@dataclass(frozen=True)
class Augmentation(Defense):
    """Train on targets whose histories are randomly displaced within what a vehicle can drive.

    No attack is involved: displacements are uniform in a square, then scaled until they obey the kinematic
    bounds. The future that is to be predicted stays.

    Source: Zhang et al., arXiv:2201.05057 (mitigation by data augmentation).
    Differs: share and shape of the displacements are not published; ours are options.
    """

    probability: Annotated[
        float, Field(ge=0, le=1, description="share of the training targets that are displaced")
    ] = 0.5
    deviation_m: Annotated[float, Field(gt=0, description="largest displacement of a frame, metres")] = 1.0

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under its own loss on displaced tracks."""
        return AugmentedTraining(victim, seed, self.probability, self.deviation_m)


class AugmentedTraining(HistoryTraining):
    """The victim's own loss on tracks, a share of them displaced."""

    def __init__(
        self, victim: Victim, seed: Seed, probability: float = 0.5, deviation_m: float = 1.0
    ) -> None:
        super().__init__(victim, seed)
        self.probability = probability
        self.deviation_m = deviation_m

    def row_loss(self, rows: SceneBatch, draw: Draws) -> Float[Tensor, " rows"]:
        """The victim's loss after displacing."""
        return self.predictor.loss(rows.moved(random_offset(rows, draw, self.deviation_m, self.probability)))
