"""What training an eraser is: away from the concept, and where the model was for everything else."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.data import Dataset
from robeval.plugins.victim import RobustTraining, Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.diffusion.bank import Bank, Points, drawn_bank
from robeval_defenses.diffusion.captions import known_captions, some_captions
from robeval_defenses.diffusion.parts import Part, only_trained


@dataclass(frozen=True)
class Recipe:
    """How an eraser is trained; the options of the defenses explain each."""

    part: Part
    layers: int | None
    strength: float
    retain: float
    steps: int
    learning_rate: float
    batch_size: int
    trajectories: int
    guidance: float


class Erasing(RobustTraining):
    """ESD's noise where the concept is asked for and, with `retain`, the original's own for other captions.

    The pictures that the engine hands in are not looked at: points come from the original model's own drawings.
    """

    def __init__(self, victim: Victim, data: Dataset, seed: Seed, recipe: Recipe) -> None:
        super().__init__(victim, recipe.steps)
        self.recipe, self.seed = recipe, seed
        self.train_batch_size, self.learning_rate = recipe.batch_size, recipe.learning_rate
        self.original = frozen_copy(generator(victim))
        self.known = known_captions(data)
        self._banks: dict[str, Bank] = {}
        self.trained = list(only_trained(generator(victim), recipe.part, recipe.layers).values())

    @property
    def model(self) -> LatentDiffusion:
        """The model in training."""
        return generator(self.victim)

    @property
    def concept_bank(self) -> Bank:
        """Points of captions that name the concept; drawn when first asked for."""
        return self._bank("concept", self.known.naming)

    @property
    def other_bank(self) -> Bank:
        """Points of captions of other things."""
        return self._bank("others", self.known.others)

    def _bank(self, name: str, texts: tuple[str, ...]) -> Bank:
        if name not in self._banks:
            chosen = some_captions(texts, self.recipe.trajectories, self.seed.child("captions", name))
            self._banks[name] = drawn_bank(self.original, chosen, self.seed.child(name), self.recipe.guidance)
        return self._banks[name]

    def words(self, path: Tensor, points: Points, draw: Draws) -> Float[Tensor, "rows length features"]:
        """The token embeddings that the model in training is asked with, where the concept is to go."""
        return self.model.embed(points.tokens)

    def objective(self, batch: PromptBatch) -> Float[Tensor, " rows"]:
        """The loss of `batch_size` random points: the erased ones, and as many retained ones."""
        rows = [str(row) for row in range(self.recipe.batch_size)]
        draw = self.seed.child("step", self.global_step).draws(rows, self.device)
        path = self.concept_bank.paths(draw)
        asked = self.concept_bank.at(path, self.concept_bank.steps(draw))
        questions = [(asked, self.words(path, asked, draw.fork("words")), asked.erased(self.recipe.strength))]
        if self.recipe.retain:
            kept = self.other_bank.at(self.other_bank.paths(draw), self.other_bank.steps(draw))
            questions.append((kept, self.model.embed(kept.tokens), kept.with_text))
        errors = noise_errors(self.model, questions)
        return errors[0] + self.recipe.retain * errors[1] if self.recipe.retain else errors[0]

    def configure_optimizers(self) -> Any:
        """Adam at one learning rate, on the part that is trained."""
        return torch.optim.Adam(self.trained, lr=self.learning_rate)

    def on_train_end(self) -> None:
        """Leave the victim as one from the cache would be, and free the memory of the points."""
        self.victim.requires_grad_(True)
        self._banks.clear()


def noise_errors(
    model: LatentDiffusion, questions: list[tuple[Points, Tensor, Tensor]]
) -> tuple[Tensor, ...]:
    """Mean squared errors of the noise, [rows] a question (points, token embeddings, target), in one pass."""
    points, words, targets = zip(*questions, strict=True)
    found = model.predict_noise(
        torch.cat([p.latents for p in points]),
        torch.cat([p.timestep for p in points]),
        model.encode(torch.cat(words)),
    )
    squares = (found - torch.cat(targets)).square().flatten(1).mean(dim=1)
    return torch.split(squares, [len(target) for target in targets])


def frozen_copy(model: LatentDiffusion) -> LatentDiffusion:
    """The model as it is now, without gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)
