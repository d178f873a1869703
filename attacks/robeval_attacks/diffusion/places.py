"""Where in a prompt an attacker writes, and what the prompt is then: as embeddings, as tokens, as text."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion

Form = Literal["prefix", "suffix", "middle", "spread", "replace"]
EVERY = 3
"""Between two free tokens that are spread over a prompt stand so many of its own."""


class Places(NamedTuple):
    """Prompts with free places, as many in each row."""

    tokens: Int64[Tensor, "rows length"]
    """What stands in the free places means nothing."""
    column: Int64[Tensor, "rows slots"]
    """Where the free places are, from left to right."""

    def written(self, words: Int64[Tensor, "rows slots"]) -> Int64[Tensor, "rows length"]:
        """The prompts with `words` in the free places."""
        return self.tokens.scatter(1, self.column, words)

    def embedded(
        self, model: LatentDiffusion, slots: Float[Tensor, "rows slots features"]
    ) -> Float[Tensor, "rows length features"]:
        """The prompts' embeddings with `slots` in the free places; differentiable in these."""
        around = model.embed(self.tokens).detach()
        return around.scatter(1, self.column[..., None].expand_as(slots), slots.to(around.dtype))

    def select(self, rows: Tensor) -> "Places":
        """Some rows."""
        return Places(self.tokens[rows], self.column[rows])

    def repeat(self, times: int) -> "Places":
        """Every row `times` times, adjacent."""
        return Places(*(value.repeat_interleave(times, dim=0) for value in self))


def opened(name: str, tokens: Int64[Tensor, "rows length"], gap: Int64[Tensor, "rows slots"]) -> Places:
    """Prompts with one free place behind each of the first `gap` words (rising; 0 is the front), none lost."""
    column = gap + 1 + torch.arange(gap.shape[1], device=tokens.device)
    place = torch.arange(tokens.shape[1], device=tokens.device)
    before = (column[:, None, :] < place[:, None]).sum(dim=-1)
    moved = tokens.gather(1, place - before)
    moved[:, -1] = text_tokens.special_ids(name)[1]
    return Places(moved, column)


def places(name: str, tokens: Int64[Tensor, "rows length"], form: Form, count: int) -> Places:
    """`count` free places in every prompt; with "replace" they stand for its first words, and the rest is kept."""
    words = (text_tokens.first_end(name, tokens) - 1)[:, None]
    number = torch.arange(count, device=tokens.device).expand(len(tokens), -1)
    if form == "replace":
        return Places(tokens, number + 1)
    gaps = {
        "prefix": torch.zeros_like(number),
        "suffix": words.expand_as(number),
        "middle": (words // 2).expand_as(number),
        "spread": torch.minimum(EVERY * number, words),
    }
    return opened(name, tokens, gaps[form])


def by_room(batch: PromptBatch, form: Form, budget: float) -> Iterator[tuple[Tensor, int]]:
    """The rows of `batch` by how many tokens may be written into them, and that number; 0 where nothing fits."""
    fits = (
        torch.full_like(batch.tokens[:, 0], batch.tokens.shape[1] - 2)
        if form == "replace"
        else text_tokens.room(batch.tokenizer, batch.tokens)
    )
    counts = fits.clamp_max(int(budget))
    for count in sorted(set(counts.tolist())):
        yield (counts == count).nonzero().squeeze(1), count


def survives(name: str, tokens: Int64[Tensor, "rows length"]) -> Bool[Tensor, " rows"]:
    """Which prompts a victim reads as they are: decoding and encoding changes no token."""
    return (text_tokens.retokenized(name, tokens) == tokens).all(dim=1)
