"""What a victim's network is asked while a prompt is searched, and what it should answer: without any sampling."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.views import View
from robeval.seeding import Draws


class Question(NamedTuple):
    """Noised latents, and the noise that a victim should see in them."""

    latents: Float[Tensor, "rows channels height width"]
    timestep: Int64[Tensor, " rows"]
    noise: Float[Tensor, "rows channels height width"]


@dataclass(frozen=True)
class Aim:
    """Latents of pictures that show the concept: a victim that is asked for it would see the noise in them.

    Levels rise evenly through the timesteps as an attack goes on, or are drawn for every row and question.
    """

    model: LatentDiffusion
    latents: Float[Tensor, "rows channels height width"]
    rising: bool = True

    def question(self, progress: float, draw: Draws) -> Question:
        """A question for every row with fresh noise; `progress` from 0 to 1 chooses a rising level."""
        if not self.rising:
            return self.at(draw.integers(self.model.timesteps, 1).squeeze(1), draw)
        moment = min(int(progress * self.model.timesteps), self.model.timesteps - 1)
        timestep = torch.full((len(draw),), moment, dtype=torch.long, device=self.latents.device)
        return self.at(timestep, draw)

    def at(self, timestep: Int64[Tensor, " rows"], draw: Draws) -> Question:
        """A question at given timesteps.

        A distilled generator is only ever asked for its one step from pure noise: there, the noise is sought that
        would make the step end at the picture.
        """
        fresh = draw.normal(*self.latents.shape[1:], dtype=self.latents.dtype)
        start = int(self.model.one_step_from)
        if not start:
            return Question(self.model.noised(self.latents, timestep, fresh), timestep, fresh)
        timestep = torch.full_like(timestep, start)
        alpha = self.model.alpha_at(timestep)
        return Question(
            (1 - alpha).sqrt() * fresh, timestep, fresh - (alpha / (1 - alpha)).sqrt() * self.latents
        )

    def select(self, rows: Tensor) -> "Aim":
        """Some rows."""
        return replace(self, latents=self.latents[rows])


@dataclass(frozen=True)
class Imitation(Aim):
    """The victim should answer as the undefended model does to the plain prompt."""

    original: LatentDiffusion = field(kw_only=True)
    hidden: Float[Tensor, "rows length features"] = field(kw_only=True)

    @torch.no_grad()
    def question(self, progress: float, draw: Draws) -> Question:
        """The same question, with the original's answer as the wanted one."""
        asked = super().question(progress, draw)
        wanted = self.original.predict_noise(asked.latents, asked.timestep, self.hidden)
        return asked._replace(noise=wanted)

    def select(self, rows: Tensor) -> "Imitation":
        """Some rows."""
        return replace(self, latents=self.latents[rows], hidden=self.hidden[rows])


@torch.no_grad()
def target_latents(
    model: LatentDiffusion, prompts: PromptBatch, original: Callable[[], LatentDiffusion]
) -> Float[Tensor, "batch channels height width"]:
    """Latents of a picture that shows what each prompt asks for: its own, or where it has none the original's."""
    pictured = prompts.image.isfinite().flatten(1).all(dim=1)
    shape = (len(prompts), *model.latent_shape)
    found = torch.zeros(shape, dtype=model.alphas.dtype, device=prompts.device)
    if bool(pictured.any()):
        found[pictured] = model.to_latents(prompts.image[pictured].to(found.dtype))
    if not bool(pictured.all()):
        rows = prompts.select(~pictured)
        drawer = original()
        found[~pictured] = drawer.sample(drawer.hidden(rows), rows.seed).to(found.dtype)
    return found


def original_of(view: View[Any]) -> LatentDiffusion:
    """The undefended model. Raises AccessError where it is not public."""
    return generator(view.original)
