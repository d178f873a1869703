"""Erased Stable Diffusion: the model learns to steer away from the concept."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytorch_lightning as pl
from pydantic import Field

from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Seed
from robeval_defenses.diffusion.erasing import Erasing, Recipe
from robeval_defenses.diffusion.parts import LayersOption, PartOption

Strength = Annotated[
    float,
    Field(ge=0, description="how far beyond the empty caption's noise the target lies (the paper's eta)"),
]
Retain = Annotated[
    float, Field(ge=0, description="weight of staying with the original on other captions (gamma); 0: none")
]
Trajectories = Annotated[
    int, Field(ge=1, description="drawings of the original model that training points are taken from")
]
Guidance = Annotated[float, Field(ge=0, description="classifier-free guidance of these drawings")]
BatchSize = Annotated[int, Field(ge=1, description="points of the concept a step, and as many retained ones")]


@dataclass(frozen=True)
class Esd(Defense):
    """Train the noise for the concept towards the opposite of what the original does with it.

    The target is e(empty) - strength * (e(concept) - e(empty)), from the frozen original; no pictures are needed. ESD-x
    is `part=unet-x` (names, styles), ESD-u `part=unet-u` (objects, in the paper); `part=text-encoder,retain=1` is
    the variant on the text encoder, which without `retain` costs much utility.

    Source: Gandikota et al., "Erasing Concepts from Diffusion Models", arXiv:2303.07345; on the text encoder: Zhang
    et al. (AdvUnlearn), arXiv:2405.15234.
    Differs: points come from a bank of full drawings of the original (as in the authors' later code; the paper draws
    part of the way with the model in training), at the sampler's own timesteps. Captions of the training split that
    name the concept stand for the single prompt. Defaults are for the embedded world, where a stronger pull for fewer
    steps erases as much and keeps more; for Stable Diffusion the paper has strength=1, steps=1000,
    learning_rate=1e-5, batch_size=1. `retain` is AdvUnlearn's.
    """

    warm_start: ClassVar[bool] = True

    part: PartOption = "unet-x"
    layers: LayersOption = None
    strength: Strength = 5.0
    retain: Retain = 0.0
    steps: Annotated[int, Field(ge=1, description="training steps")] = 135
    learning_rate: Annotated[float, Field(gt=0, description="of Adam")] = 1e-4
    batch_size: BatchSize = 16
    trajectories: Trajectories = 48
    guidance: Guidance = 3.0

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under the erasing objective."""
        recipe = Recipe(
            part=self.part,
            layers=self.layers,
            strength=self.strength,
            retain=self.retain,
            steps=self.steps,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            trajectories=self.trajectories,
            guidance=self.guidance,
        )
        return Erasing(victim, data, seed, recipe)
