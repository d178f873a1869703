"""The mean score over copies with randomly substituted words, and its certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.plugins.threat import Budget
from robeval.seeding import Draws
from robeval_defenses.ranking.certificate import substitution_shift
from robeval_defenses.ranking.neighbours import Neighbours, counted_neighbours, read_neighbours, split
from robeval_defenses.ranking.smoothed import Smoothing


@dataclass(frozen=True)
class CertDR(Smoothing):
    """Rank by the mean score over copies of a passage in which every word is drawn from its set of similar words.

    The bound holds for `certificate_words` words, each replaced by one of its neighbours; it says nothing about
    inserted triggers, nor about words that are no neighbours. Where a whole group of synonyms is one set, copies of
    a passage and of its substitutions are distributed alike, and the bound costs nothing.

    Source: Wu et al., "Certified Robustness to Word Substitution Ranking Attack for Neural Ranking Models",
    arXiv:2209.06691.
    Differs: neighbours come from vectors counted in the collection or from a file; overlaps are divided by the larger
    set; scores are centred and scaled before the sigmoid; the bound covers the target of an example (the published
    figure, a query's top k, is `SmoothedRanker.certified_top`) and the error of estimating the mean.
    """

    cosine: Annotated[float, Field(gt=-1, lt=1, description="neighbours are more alike than this")] = 0.9
    most: Annotated[int, Field(ge=1, description="words of a set, at most")] = 100
    synonyms: Annotated[
        str | None, Field(description="file of neighbours: word<TAB>substitute,substitute a line")
    ] = None
    certificate_words: Annotated[int, Field(ge=1, description="substituted words that the bound covers")] = 20

    def copier(self, corpus: Corpus) -> "SubstitutedCopies":
        """Random neighbours."""
        found = (
            counted_neighbours(corpus, self.cosine, self.most)
            if self.synonyms is None
            else read_neighbours(self.synonyms, self.most)
        )
        return SubstitutedCopies(found, self.certificate_words)

    @property
    def radius_budget(self) -> Budget:
        """Words replaced by neighbours."""
        meaning = "words replaced by one of their neighbours, none inserted"
        return Budget("neighbour_words", "words", float(self.certificate_words), meaning)


@dataclass(frozen=True)
class SubstitutedCopies:
    """Copies with every word drawn uniformly from its set."""

    neighbours: Neighbours
    edits: int

    def copies(self, corpus: Corpus, texts: Sequence[str], draw: Draws, count: int) -> list[str]:
        """Copies of each text; what stands between the words stays, drawn words are lower-case."""
        pieces = [split(text) for text in texts]
        places = [
            [
                (place, self._number[piece.lower()])
                for place, piece in enumerate(row)
                if piece.lower() in self._number
            ]
            for row in pieces
        ]
        longest = max(map(len, places), default=0)
        if not longest:
            return [text for text in texts for _ in range(count)]
        word = torch.zeros(len(texts), longest, dtype=torch.long)
        for row, found in enumerate(places):
            word[row, : len(found)] = torch.tensor([number for _, number in found], dtype=torch.long)
        # Words come first, so that a row's numbers do not depend on the longest row.
        lots = draw.uniform(longest, count, dtype=torch.float64).cpu()
        size = (self.neighbours.sets >= 0).sum(dim=1)[word].unsqueeze(2)
        choice = (lots * size).long()
        drawn = self.neighbours.sets[word].gather(2, choice).transpose(1, 2).tolist()
        return [
            self._put(row, [place for place, _ in found], numbers)
            for row, found, copies in zip(pieces, places, drawn, strict=True)
            for numbers in copies
        ]

    def shift(self, corpus: Corpus, texts: Sequence[str]) -> Float[Tensor, " rows"]:
        """The most that `edits` substitutions can change how copies are distributed."""
        rows = [[self._number.get(piece.lower(), -1) for piece in split(text)] for text in texts]
        longest = max(map(len, rows), default=0)
        numbers = torch.full((len(rows), max(longest, 1)), -1)
        for row, found in enumerate(rows):
            numbers[row, : len(found)] = torch.tensor(found, dtype=torch.long)
        overlap = torch.cat([self._overlap, torch.ones(1)])[numbers]  # -1 is the last: no neighbours
        return substitution_shift(overlap, self.edits)

    def _put(self, pieces: list[str], places: list[int], numbers: list[int]) -> str:
        changed = list(pieces)
        # Also a word that is drawn for itself: how it was written would tell it from its neighbours.
        for place, number in zip(places, numbers, strict=False):
            changed[place] = self.neighbours.words[number]
        return "".join(changed)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.neighbours.words)}

    @cached_property
    def _overlap(self) -> Tensor:
        return self.neighbours.overlap()
