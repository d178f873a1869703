"""From scores of tokens to text: the best words that a victim reads as they are and that raise no alarm."""

from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion
from robeval.plugins.views import View
from robeval_attacks.diffusion.places import Places, survives

RANKS = 3
"""For each place the best so many tokens are considered."""
CHOICES = 32


class Vocabulary(NamedTuple):
    """The tokens that an attacker may write, and what they are to the victim."""

    ids: Int64[Tensor, " words"]
    table: Float[Tensor, "words features"]

    @classmethod
    def of(cls, model: LatentDiffusion, name: str) -> "Vocabulary":
        """All that survive decoding and encoding, in the victim's own embeddings."""
        ids = text_tokens.searchable(name).nonzero().squeeze(1).to(model.token_table.weight.device)
        return cls(ids, model.embed(ids[None])[0].detach())


@lru_cache(maxsize=32)
def choices(slots: int, ranks: int) -> Int64[Tensor, "choices slots"]:
    """Which rank each place takes: the best everywhere, then few and small steps down, at most CHOICES in all."""
    rows = [(0,) * slots]
    for steps in range(1, 3):
        for stepped in combinations_with_replacement(range(slots), steps):
            row = tuple(stepped.count(place) for place in range(slots))
            if max(row) < ranks:
                rows.append(row)
    return torch.tensor(rows[:CHOICES], dtype=torch.long)


def spoken(
    view: View[Any],
    is_wary: bool,
    prompts: PromptBatch,
    places: Places,
    score: Float[Tensor, "rows slots words"],
    vocabulary: Vocabulary,
) -> PromptBatch:
    """The prompts with the words of highest score, or near it, that survive being text and raise no alarm.

    Where none survives, the untouched prompt; where all raise an alarm, the best. Detectors are asked if `is_wary`.
    """
    ranks = min(RANKS, len(vocabulary.ids))
    best = vocabulary.ids[score.topk(ranks, dim=-1).indices]
    found = prompts.replace(tokens=places.written(best[..., 0]))
    fit = fitness(view, is_wary, found)
    again = (fit < 2).nonzero().squeeze(1)
    if not len(again):
        return found
    table = choices(score.shape[1], ranks).to(score.device)
    count = len(table)
    wanted = table.expand(len(again), -1, -1)
    words = best[again].transpose(1, 2).gather(1, wanted).flatten(0, 1)
    offered = prompts.select(again).repeat(count)
    offered = offered.replace(tokens=places.select(again).repeat(count).written(words))
    fit, place = fitness(view, is_wary, offered).view(-1, count).max(dim=1)
    chosen = offered.tokens.view(len(again), count, -1)[torch.arange(len(again), device=place.device), place]
    tokens = found.tokens.clone()
    tokens[again] = torch.where((fit > 0)[:, None], chosen, prompts.tokens[again])
    return prompts.replace(tokens=tokens)


@torch.no_grad()
def fitness(view: View[Any], is_wary: bool, prompts: PromptBatch) -> Int64[Tensor, " rows"]:
    """0 for prompts that are no text, 1 for those that raise an alarm of a detector in the victim, otherwise 2."""
    alive = survives(prompts.tokenizer, prompts.tokens)
    if not is_wary:
        return alive.long() * 2
    quiet = view.alarm(prompts) <= 0
    return alive.long() * (1 + quiet.long())
