"""AdvUnlearn: erasing under attack."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.diffusion.bank import Points
from robeval_defenses.diffusion.erasing import Erasing, Recipe
from robeval_defenses.diffusion.esd import BatchSize, Guidance, Retain, Strength, Trajectories
from robeval_defenses.diffusion.inner_attack import attacked_prefix, random_words, with_prefix
from robeval_defenses.diffusion.parts import LayersOption, PartOption


@dataclass(frozen=True)
class AdvUnlearn(Defense):
    """Erase the concept for prompts that an attacker works on in every step, and stay with the original elsewhere.

    The attacker moves embeddings before the prompt until the model answers as the original does to the plain prompt;
    `inner_steps=1` is the fast variant, one signed step. The target is ESD's for the plain prompt.

    Source: Zhang et al., "Defensive Unlearning with Adversarial Training for Robust Concept Erasure in Diffusion
    Models" (AdvUnlearn), arXiv:2405.15234.
    Differs: a share `attacked` of every batch is attacked, all its rows at once; the default prefix has as many
    tokens as the domain's test attacks (the paper has 1); points come from a bank of the original's drawings. The
    authors' code warms up for 200 steps without attack and never clears the attack's gradients; neither is done
    here, as in the paper. Defaults are for the embedded world; for Stable Diffusion the paper has steps=1000,
    learning_rate=1e-5, batch_size=1, inner_steps=30, step=1e-3, tokens=1, retain=0.3 (nudity) or 0.5.
    """

    warm_start: ClassVar[bool] = True

    part: PartOption = "text-encoder"
    layers: LayersOption = None
    strength: Strength = 1.0
    retain: Retain = 3.0
    tokens: Annotated[
        int, Field(ge=1, le=16, description="tokens that the attacker inside puts in front")
    ] = 3
    inner_steps: Annotated[int, Field(ge=1, le=100, description="its steps; 1: one signed step (fast)")] = 1
    step: Annotated[
        float, Field(gt=0, description="its step size, in root mean squares of the token embeddings")
    ] = 0.3
    attacked: Annotated[float, Field(gt=0, le=1, description="share of a batch that it attacks")] = 0.5
    steps: Annotated[int, Field(ge=1, description="training steps")] = 120
    learning_rate: Annotated[float, Field(gt=0, description="of Adam")] = 1e-3
    batch_size: BatchSize = 16
    trajectories: Trajectories = 96
    guidance: Guidance = 3.0

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under the bilevel objective."""
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
        return ErasingUnderAttack(victim, data, seed, recipe, self)


class ErasingUnderAttack(Erasing):
    """Erasing with a prefix before a share of the prompts, found anew in every step."""

    def __init__(
        self, victim: Victim, data: Dataset, seed: Seed, recipe: Recipe, options: AdvUnlearn
    ) -> None:
        super().__init__(victim, data, seed, recipe)
        self.options = options

    @property
    def step_size(self) -> float:
        """The attacker's step in units of the embeddings."""
        return self.options.step * float(self.model.token_table.weight.detach().square().mean().sqrt())

    def words(
        self, path: Int64[Tensor, " rows"], points: Points, draw: Draws
    ) -> Float[Tensor, "rows length features"]:
        """Plain prompts, the first rows exchanged for attacked ones."""
        plain = self.model.embed(points.tokens)
        count = max(round(self.options.attacked * len(path)), 1)
        chosen, own = path[:count], draw.select(slice(0, count))
        prefix = attacked_prefix(
            self.model,
            lambda: self.concept_bank.at(chosen, self.concept_bank.steps(own)),
            random_words(self.model, own, self.options.tokens),
            self.options.inner_steps,
            self.step_size,
        )
        return torch.cat([with_prefix(self.model, points.tokens[:count], prefix), plain[count:]])
