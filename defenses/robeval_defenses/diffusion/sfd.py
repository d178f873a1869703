"""Score forgetting distillation: a one-step generator that never learnt the concept."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import RobustTraining, Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.diffusion.captions import known_captions, some_captions
from robeval_defenses.diffusion.erasing import frozen_copy

LEAST_ERROR = 1e-5


@dataclass(frozen=True)
class Sfd(Defense):
    """Distil the model into a generator of one step, which gets other things' scores for the concept.

    No data is needed. A second network follows what the generator draws; the generator moves to where the original
    scores its pictures higher than that network does: under the same caption for retained ones, under a safe
    caption where the concept is asked for. What is deployed draws in one step.

    Source: Chen et al., "Score Forgetting Distillation", arXiv:2409.11219.
    Differs: both networks share one Adam and take turns (the generator first), gradients are clipped by norm, no
    average of weights is kept, and the generator starts from the diffusion model itself, in one stage. Without
    `safe` the safe caption is a random retained one.
    """

    warm_start: ClassVar[bool] = True

    iterations: Annotated[
        int, Field(ge=1, description="steps of the generator, and as many of its follower")
    ] = 200
    learning_rate: Annotated[float, Field(gt=0, description="of the generator")] = 1e-4
    follower_learning_rate: Annotated[float, Field(gt=0, description="of the network that follows it")] = 3e-4
    alpha: Annotated[float, Field(ge=0, description="weight of the distance between both scores")] = 1.2
    forget: Annotated[float, Field(ge=0, description="weight of the concept against the rest (lambda_f)")] = (
        1.0
    )
    start: Annotated[int, Field(ge=1, description="timestep that the generator's one step starts from")] = 625
    earliest: Annotated[int, Field(ge=0, description="smallest timestep of the scores")] = 20
    latest: Annotated[int, Field(ge=1, description="timestep below which the scores lie")] = 980
    safe: Annotated[
        str, Field(description="caption drawn instead of the concept; empty: any retained one")
    ] = ""
    batch_size: Annotated[int, Field(ge=1, description="captions of each kind a step")] = 16

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim as a one-step generator under the forgetting objective."""
        return Forgetting(victim, data, seed, self)


class Forgetting(RobustTraining):
    """Turns of the generator (the victim) and of the network that follows it."""

    def __init__(self, victim: Victim, data: Dataset, seed: Seed, options: Sfd) -> None:
        super().__init__(victim, 2 * options.iterations)
        self.options, self.seed = options, seed
        self.train_batch_size = options.batch_size
        self.original = frozen_copy(generator(victim))
        self.follower = frozen_copy(generator(victim)).unet.requires_grad_(True)
        self.known = known_captions(data)
        generator(victim).requires_grad_(False)
        generator(victim).unet.requires_grad_(True)
        generator(victim).one_step_from.fill_(options.start)

    def objective(self, batch: PromptBatch) -> Float[Tensor, " rows"]:
        """The generator's loss in even steps, its follower's in odd ones."""
        iteration, is_followers_turn = divmod(self.global_step, 2)
        seed = self.seed.child("iteration", iteration)
        size = self.options.batch_size
        kept = self._hidden(some_captions(self.known.others, size, seed.child("kept")))
        asked = self._hidden(some_captions(self.known.naming, size, seed.child("asked")))
        draw = seed.draws([str(row) for row in range(2 * size)], self.device).fork(is_followers_turn)
        asked_for = torch.cat([kept, asked])
        self.follower.requires_grad_(bool(is_followers_turn))
        with torch.set_grad_enabled(not is_followers_turn):
            drawn = self._drawn(asked_for, draw)
        if is_followers_turn:
            loss = self._follower_loss(drawn, asked_for, draw)
        else:
            loss = self._generator_loss(drawn, torch.cat([kept, self._safe(seed)]), asked_for, draw)
        return loss[:size] + self.options.forget * loss[size:]

    def _hidden(self, texts: tuple[str, ...]) -> Float[Tensor, "rows length features"]:
        model = self.original
        tokens = text_tokens.encoded(model.tokenizer, texts, model.length).to(self.device)
        with torch.no_grad():
            return model.encode(model.embed(tokens))

    def _safe(self, seed: Seed) -> Float[Tensor, "rows length features"]:
        texts = (self.options.safe,) if self.options.safe else self.known.others
        return self._hidden(some_captions(texts, self.options.batch_size, seed.child("safe")))

    def _drawn(self, hidden: Tensor, draw: Draws) -> Float[Tensor, "rows channels height width"]:
        model = generator(self.victim)
        return model.sample(hidden, draw.fork("latent").bits(1).squeeze(1))

    def _noised(self, drawn: Tensor, draw: Draws) -> tuple[Tensor, Int64[Tensor, " rows"], Tensor]:
        model, options = self.original, self.options
        timestep = options.earliest + draw.integers(options.latest - options.earliest)
        noise = draw.normal(*drawn.shape[1:], dtype=drawn.dtype)
        return model.noised(drawn, timestep, noise), timestep, noise

    def _follower_loss(self, drawn: Tensor, hidden: Tensor, draw: Draws) -> Float[Tensor, " rows"]:
        """The denoising loss on what the generator draws."""
        latents, timestep, noise = self._noised(drawn, draw)
        found = self.follower(latents, timestep, encoder_hidden_states=hidden).sample
        return (cast(Tensor, found) - noise).square().flatten(1).mean(dim=1)

    def _generator_loss(
        self, drawn: Tensor, wanted: Tensor, asked_for: Tensor, draw: Draws
    ) -> Float[Tensor, " rows"]:
        latents, timestep, _ = self._noised(drawn, draw)
        model = self.original
        true = clean_estimate(model, latents, timestep, model.predict_noise(latents, timestep, wanted))
        found = self.follower(latents, timestep, encoder_hidden_states=asked_for).sample
        false = clean_estimate(model, latents, timestep, found)
        return forgetting_loss(drawn, true, false, self.options.alpha)

    def configure_optimizers(self) -> Any:
        """One Adam without momentum, a learning rate for each network."""
        return torch.optim.Adam(
            [
                {"params": list(generator(self.victim).unet.parameters()), "lr": self.options.learning_rate},
                {"params": list(self.follower.parameters()), "lr": self.options.follower_learning_rate},
            ],
            betas=(0.0, 0.999),
        )

    def on_train_end(self) -> None:
        """Leave the victim as one from the cache would be."""
        self.victim.requires_grad_(True)


def clean_estimate(
    model: LatentDiffusion,
    latents: Float[Tensor, "rows channels height width"],
    timestep: Int64[Tensor, " rows"],
    noise: Float[Tensor, "rows channels height width"],
) -> Float[Tensor, "rows channels height width"]:
    """What the latents were before `noise` was mixed in."""
    alpha = model.alpha_at(timestep)
    return (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()


def forgetting_loss(
    drawn: Float[Tensor, "rows channels height width"],
    true: Float[Tensor, "rows channels height width"],
    false: Float[Tensor, "rows channels height width"],
    alpha: float,
) -> Float[Tensor, " rows"]:
    """SFD's loss of the generator from its pictures and their estimates by the original and by the follower.

    <true - false, (true - drawn) - alpha (true - false)> as a mean over entries, over the mean |true - drawn|.
    """
    apart = true - false
    scale = (true - drawn).detach().abs().flatten(1).mean(dim=1).clamp_min(LEAST_ERROR)
    return (apart * ((true - drawn) - alpha * apart)).flatten(1).mean(dim=1) / scale
