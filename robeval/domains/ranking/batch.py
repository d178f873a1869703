"""What a ranker is asked and answers: a query, its candidate passages, and one target passage whose text may change.

Texts stay texts: the target's is UTF-8 in a tensor, so that a run keeps exactly what the attacker published, and
every victim reads it with its own tokenizer. All other texts are numbers into the shared `Corpus`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from robeval.arrays import Batch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.text import to_bytes, to_texts

NOBODY = -1
"""The passage number where a list is shorter than the longest of its batch."""


@dataclass(frozen=True)
class RankingBatch(Batch):
    """One (query, target passage) pair per example, with the query's candidate list; ids are ``query/passage``.

    An attacker may change `text` and nothing else.
    """

    text: UInt8[Tensor, "batch bytes"]
    """The target passage as published, UTF-8, padded with zeros; the width leaves room for insertions."""
    query: Int64[Tensor, " batch"]
    """Number of the query in the corpus."""
    candidates: Int64[Tensor, "batch list"]
    """Passage numbers in first-stage order, -1 behind the end of a shorter list."""
    target: Int64[Tensor, " batch"]
    """The target's place in `candidates`."""
    grades: Float[Tensor, "batch list"]
    """Relevance of every candidate; 0 where unjudged, NaN in the whole row where the query has no judgements."""
    zone: tuple[str, ...]
    """Where the first stage had the target: ``ranks 51-100``."""
    corpus: Corpus

    @property
    def passage(self) -> Tensor:
        """Number of the target passage in the corpus: int64 [batch]."""
        return self.candidates.gather(1, self.target.unsqueeze(1)).squeeze(1)

    @property
    def listed(self) -> Tensor:
        """Which places of the list hold a passage: bool [batch, list]."""
        return self.candidates != NOBODY

    @property
    def others(self) -> Tensor:
        """Which places hold a passage other than the target: bool [batch, list]."""
        place = torch.arange(self.candidates.shape[1], device=self.candidates.device)
        return self.listed & (place != self.target.unsqueeze(1))

    def texts(self) -> list[str]:
        """The target passages as they are now."""
        return to_texts(self.text)

    def with_texts(self, texts: Sequence[str]) -> "RankingBatch":
        """The same examples with other target texts. Raises ValueError when one does not fit `text`."""
        return self.replace(text=to_bytes(texts, self.text.shape[1]).to(self.text.device))

    def original_texts(self) -> list[str]:
        """The target passages as the corpus has them."""
        return [self.corpus.passages[number] for number in self.passage.tolist()]

    def query_texts(self) -> list[str]:
        """The queries."""
        return [self.corpus.queries[number] for number in self.query.tolist()]

    def first_of_each_query(self) -> "RankingBatch":
        """One example per query, the first: what imitation asks about."""
        seen: dict[int, int] = {}
        for row, number in enumerate(self.query.tolist()):
            seen.setdefault(number, row)
        return self.select(list(seen.values()))


class Ranking(NamedTuple):
    """A victim's answer for a batch. `scores` is 0 where nothing is listed."""

    scores: Tensor
    """Higher is better: float [batch, list], in the order of `RankingBatch.candidates`."""
    passages: Tensor
    """Passage numbers of the list, -1 where there is none: int64 [batch, list]."""
    target: Tensor
    """The target's place in the list: int64 [batch]."""
    removed: Tensor
    """Passages that a filter threw out; they rank behind all others: bool [batch, list]."""
    suspicion: Tensor | None = None
    """What a detector thinks of every passage, higher is more suspicious: float [batch, list]."""

    def own(self) -> Tensor:
        """The target's score: [batch]."""
        return self.scores.gather(1, self.target.unsqueeze(1)).squeeze(1)


class RankedLists(NamedTuple):
    """All that rank access reveals."""

    order: Tensor
    """Passage numbers, best first, -1 behind the end: int64 [batch, list]."""

    def rank_of(self, passage: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
        """The 1-based rank of a passage in each list; list length + 1 where it is not in the list."""
        here = self.order == passage.unsqueeze(1)
        rank = here.int().argmax(dim=1) + 1
        return torch.where(here.any(dim=1), rank, self.order.shape[1] + 1)


def ranks(ranking: Ranking) -> Float[Tensor, " batch"]:
    """The target's 1-based rank: 1 + passages with at least its score (ties count against it).

    A removed target stands behind the whole list; removed others stand behind every target.
    """
    listed = ranking.passages != NOBODY
    place = torch.arange(ranking.scores.shape[1], device=ranking.scores.device)
    others = listed & (place != ranking.target.unsqueeze(1))
    # "Not below" instead of "at least": against a NaN score the target is last, never first.
    ahead = others & ~ranking.removed & ~(ranking.scores < ranking.own().unsqueeze(1))
    behind_all = listed.sum(dim=1) + 1
    thrown_out = ranking.removed.gather(1, ranking.target.unsqueeze(1)).squeeze(1)
    return torch.where(thrown_out, behind_all, ahead.sum(dim=1) + 1).float()


def ordered(ranking: Ranking) -> Int64[Tensor, "batch list"]:
    """Places of the list, best first: by score, the target behind its ties, then by passage number."""
    place = torch.arange(ranking.scores.shape[1], device=ranking.scores.device)
    is_target = place == ranking.target.unsqueeze(1)
    order = torch.argsort(ranking.passages, dim=1, stable=True)
    for key in (is_target, -ranking.scores.double().nan_to_num(nan=-torch.inf), ranking.removed):
        order = order.gather(1, _sorted_by(key, order))
    absent = ranking.passages == NOBODY
    return order.gather(1, _sorted_by(absent, order))


def _sorted_by(key: Tensor, order: Tensor) -> Tensor:
    """Where to take `order` from so that it is sorted by `key`, keeping the order of equals."""
    value = key.gather(1, order)
    return torch.argsort(value.to(torch.int8) if value.dtype == torch.bool else value, dim=1, stable=True)


def ranked_lists(ranking: Ranking) -> RankedLists:
    """The ordered list of passage numbers."""
    return RankedLists(ranking.passages.gather(1, ordered(ranking)))


def no_removals(candidates: Int64[Tensor, "batch list"]) -> Bool[Tensor, "batch list"]:
    """The answer of a victim without a filter."""
    return torch.zeros_like(candidates, dtype=torch.bool)
