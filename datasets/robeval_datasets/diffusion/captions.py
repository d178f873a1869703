"""Captions of the embedded world, in words of skewed frequency."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from robeval.domains.diffusion.world import (
    COLOURS,
    FULL_TEMPLATES,
    HEADS,
    SHAPES,
    SYNONYM_SHARE,
    TEMPLATES,
    TEXTURES,
)
from robeval.seeding import Draws

SLOTS = ("{s}", "{t}", "{c}")
WORDS = tuple(tuple(group.values()) for group in (SHAPES, TEXTURES, COLOURS))


class Captioned(NamedTuple):
    """Captions, and what each says per head: the class, or -1 where it says nothing."""

    text: tuple[str, ...]
    said: Int64[Tensor, "batch 3"]


def captions(kind: Int64[Tensor, "batch 3"], draw: Draws, *, colour_synonyms: bool) -> Captioned:
    """A caption per row of `kind` (shape, texture, colour by number): template and synonyms are drawn.

    Colours are called by their first name only, unless `colour_synonyms`.
    """
    template = draw.integers(len(TEMPLATES))
    rank = (
        draw.choice(torch.tensor(SYNONYM_SHARE).expand(len(kind), -1)),
        draw.choice(torch.tensor(SYNONYM_SHARE).expand(len(kind), -1)),
        draw.choice(torch.tensor(SYNONYM_SHARE).expand(len(kind), -1)),
    )
    ranks = torch.stack(rank, dim=1)
    if not colour_synonyms:
        ranks[:, 2] = 0
    says = torch.tensor([[slot in text for slot in SLOTS] for text in TEMPLATES])[template]
    texts = tuple(
        _filled(TEMPLATES[number], things, words)
        for number, things, words in zip(template.tolist(), kind.tolist(), ranks.tolist(), strict=True)
    )
    return Captioned(texts, torch.where(says, kind, -1))


def full_captions(kind: Int64[Tensor, "batch 3"], templates: tuple[str, ...] = FULL_TEMPLATES) -> Captioned:
    """Captions that say everything in the first name of each thing; templates take turns."""
    texts = tuple(
        _filled(templates[number % len(templates)], things, [0, 0, 0])
        for number, things in enumerate(kind.tolist())
    )
    return Captioned(texts, kind)


def _filled(template: str, things: list[int], words: list[int]) -> str:
    names = [group[thing] for group, thing in zip(WORDS, things, strict=True)]
    s, t, c = (known[min(word, len(known) - 1)] for known, word in zip(names, words, strict=True))
    return template.format(s=s, t=t, c=c)


def every_kind(textures: int = len(TEXTURES)) -> Int64[Tensor, "kinds 3"]:
    """All combinations of shape, texture (the first few) and colour."""
    counts = (len(HEADS[0]), textures, len(HEADS[2]))
    return torch.cartesian_prod(*[torch.arange(count) for count in counts])
