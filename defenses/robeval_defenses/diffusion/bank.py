"""Where erasing takes place: points on the paths along which the original model draws. No pictures are needed."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.victims.base import LatentDiffusion
from robeval.seeding import Draws, Seed


class Points(NamedTuple):
    """Noised latents on the way to the pictures of captions, and what the original model answers there."""

    tokens: Int64[Tensor, "rows length"]
    latents: Float[Tensor, "rows channels height width"]
    timestep: Int64[Tensor, " rows"]
    with_text: Float[Tensor, "rows channels height width"]
    """The original's noise for the caption."""
    without: Float[Tensor, "rows channels height width"]
    """The original's noise for the empty caption."""

    def erased(self, strength: float) -> Float[Tensor, "rows channels height width"]:
        """ESD's target: the noise for the empty caption, pushed away from the caption's by `strength`."""
        return self.without - strength * (self.with_text - self.without)


class Bank(NamedTuple):
    """One drawing of the original model per row: all its points. Made once, drawn from in every training step."""

    tokens: Int64[Tensor, "paths length"]
    timestep: Int64[Tensor, " steps"]
    latents: Float[Tensor, "paths steps channels height width"]
    with_text: Float[Tensor, "paths steps channels height width"]
    without: Float[Tensor, "paths steps channels height width"]

    def at(self, path: Int64[Tensor, " rows"], step: Int64[Tensor, " rows"]) -> Points:
        """The points at these steps of these paths."""
        return Points(
            self.tokens[path],
            self.latents[path, step],
            self.timestep[step],
            self.with_text[path, step],
            self.without[path, step],
        )

    def paths(self, draw: Draws) -> Int64[Tensor, " rows"]:
        """A random path per row."""
        return draw.integers(len(self.tokens)).to(self.tokens.device)

    def steps(self, draw: Draws) -> Int64[Tensor, " rows"]:
        """A random step per row."""
        return draw.integers(len(self.timestep)).to(self.tokens.device)


@torch.no_grad()
def drawn_bank(model: LatentDiffusion, texts: tuple[str, ...], seed: Seed, guidance: float) -> Bank:
    """The paths of `model` to pictures of captions, by its own sampler under classifier-free guidance."""
    device = model.alphas.device
    tokens = text_tokens.encoded(model.tokenizer, texts, model.length).to(device)
    hidden, empty = model.encode(model.embed(tokens)), model.encode_text(("",))
    names = tuple(f"{number}:{text}" for number, text in enumerate(texts))
    latents = model.latent_noise(seed.draws(names, device).bits(1).squeeze(1))
    scheduler = model.scheduler(model.sampling_steps)
    visited, told, untold = [], [], []
    for moment in scheduler.timesteps.tolist():
        timestep = torch.full((len(texts),), moment, dtype=torch.long, device=device)
        with_text = model.predict_noise(latents, timestep, hidden)
        without = model.predict_noise(latents, timestep, empty.expand_as(hidden))
        visited.append(latents)
        told.append(with_text)
        untold.append(without)
        noise = without + guidance * (with_text - without)
        latents = scheduler.step(noise, moment, latents).prev_sample
    return Bank(
        tokens,
        torch.tensor(scheduler.timesteps.tolist(), dtype=torch.long, device=device),
        *(torch.stack(values, dim=1) for values in (visited, told, untold)),
    )
