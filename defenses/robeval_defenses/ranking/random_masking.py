"""The mean score over copies in which most words are masked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.text import words_of
from robeval.plugins.threat import Budget
from robeval.seeding import Draws
from robeval_defenses.ranking.certificate import masking_shift
from robeval_defenses.ranking.smoothed import Smoothing

MASK = "[MASK]"


@dataclass(frozen=True)
class RandomMasking(Smoothing):
    """Rank by the mean score over copies of a passage in which a share of the words is masked.

    The bound holds for `certificate_words` words replaced by any others; not for inserted triggers, against which
    masking helps without proof. At a mask share of 0.3 one replaced word shows in 7 of 10 copies, so little is
    proven; at 0.9 in 1 of 10.

    Source: "RobustMask", arXiv:2512.23307.
    Differs: the published bound counts the mask probability twice (any positive gap would certify any number of
    words); ours is the sound one, 1 - C(T-R, k) / C(T, k), for scores in [0, 1]. The error of estimating the mean
    from few copies is part of it.
    """

    mask_share: Annotated[float, Field(gt=0, lt=1, description="share of the words that is masked")] = 0.3
    certificate_words: Annotated[int, Field(ge=1, description="replaced words that the bound covers")] = 1

    def copier(self, corpus: Corpus) -> "MaskedCopies":
        """Random masks."""
        return MaskedCopies(self.mask_share, self.certificate_words)

    @property
    def radius_budget(self) -> Budget:
        """Words replaced in place."""
        return Budget(
            "replaced_words", "words", float(self.certificate_words), "words replaced, none inserted"
        )


@dataclass(frozen=True)
class MaskedCopies:
    """Copies that keep k = T - round(share T) random words, at least one."""

    share: float
    edits: int

    def kept(self, words: Int64[Tensor, " rows"]) -> Int64[Tensor, " rows"]:
        """How many of so many words are kept."""
        kept = words - (self.share * words.double()).round().long()
        return torch.minimum(kept.clamp_min(1), words)

    def copies(self, corpus: Corpus, texts: Sequence[str], draw: Draws, count: int) -> list[str]:
        """Masked copies; white space becomes single blanks."""
        words = [words_of(text) for text in texts]
        length = torch.tensor([len(row) for row in words], dtype=torch.long, device=draw.keys.device)
        longest = max(map(len, words), default=0)
        # Words come first, so that a row's numbers do not depend on the longest row.
        lots = draw.uniform(longest, count, dtype=torch.float64).transpose(1, 2)
        absent = torch.arange(longest, device=length.device) >= length.view(-1, 1, 1)
        place = lots.masked_fill(absent, 2.0).argsort(dim=2).argsort(dim=2)
        kept = (place < self.kept(length).view(-1, 1, 1)).tolist()
        return [
            " ".join([word if is_kept else MASK for word, is_kept in zip(row, copy, strict=False)])
            for row, masks in zip(words, kept, strict=True)
            for copy in masks
        ]

    def shift(self, corpus: Corpus, texts: Sequence[str]) -> Float[Tensor, " rows"]:
        """The chance that a copy shows a replaced word."""
        length = torch.tensor([len(words_of(text)) for text in texts], dtype=torch.long)
        return masking_shift(length, self.kept(length), self.edits)
