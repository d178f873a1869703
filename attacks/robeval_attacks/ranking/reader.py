"""Triggers as a ranker reads them: alone, or where they will stand in their passages."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import ROWS_TOKENS, NeuralRanker
from robeval.domains.ranking.text import place_of
from robeval.domains.ranking.tokens import Tokens


@dataclass(frozen=True)
class Reader:
    """Scores of triggers for the examples of a batch; queries and passages are encoded once."""

    ranker: NeuralRanker
    query: Tokens
    before: Tokens
    """What stands before the trigger, one row per example; nothing when triggers are read alone."""
    after: Tokens

    @classmethod
    def of(cls, ranker: NeuralRanker, batch: RankingBatch, where: str | None) -> "Reader":
        """A reader of triggers at a place of their passages (see `text.place_of`), or alone where it is None."""
        texts = [""] * len(batch) if where is None else batch.texts()
        places = [0 if where is None else place_of(text, where) for text in texts]
        halves = (
            [text[:place] for text, place in zip(texts, places, strict=True)],
            [text[place:] for text, place in zip(texts, places, strict=True)],
        )
        before, after = (ranker.text_tokens(batch.corpus, half) for half in halves)
        return cls(ranker, ranker.query_tokens(batch.corpus, batch.query), before, after)

    def select(self, rows: Tensor) -> "Reader":
        """The reader of some examples."""
        parts = (part.select(rows) for part in (self.query, self.before, self.after))
        return Reader(self.ranker, *parts)

    def scores(
        self, row: Int64[Tensor, " rows"], ids: Int64[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The score of every trigger for its example; no gradient."""
        whole = (
            self.query.ids.shape[1] + self.before.ids.shape[1] + ids.shape[1] + self.after.ids.shape[1] + 4
        )
        size = max(1, ROWS_TOKENS // whole)
        with torch.no_grad():
            found = [
                self._scored(*part)
                for part in zip(torch.split(row, size), torch.split(ids, size), strict=True)
            ]
        return torch.cat(found) if found else self.ranker.word_vectors.new_zeros(0)

    def _scored(self, row: Tensor, ids: Tensor) -> Tensor:
        tokens = joined([self.before.select(row), full(ids), self.after.select(row)])
        return self.ranker.relevance(self.query.select(row), tokens)

    def soft_scores(
        self, row: Int64[Tensor, " rows"], vectors: Float[Tensor, "rows length hidden"]
    ) -> Float[Tensor, " rows"]:
        """The same for triggers given as word vectors, differentiable."""
        query, before, after = (part.select(row) for part in (self.query, self.before, self.after))
        always = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        whole = torch.cat([self.ranker.embed(before), vectors, self.ranker.embed(after)], dim=1)
        mask = torch.cat([before.mask, always, after.mask], dim=1)
        order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)[
            :, : max(self.ranker.room(query), 0)
        ]
        packed = whole.gather(1, order.unsqueeze(-1).expand(-1, -1, whole.shape[-1]))
        return self.ranker.relevance_from_embeddings(query, packed, mask.gather(1, order))


def full(ids: Int64[Tensor, "rows length"]) -> Tokens:
    """Rows without padding."""
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))


def joined(parts: Sequence[Tokens]) -> Tokens:
    """Rows behind one another, padding moved to the end."""
    ids, mask = (torch.cat([part[i] for part in parts], dim=1) for i in (0, 1))
    if bool(mask.all()):
        return Tokens(ids, mask)
    order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
    longest = int(mask.sum(dim=1).max()) if len(mask) else 0
    order = order[:, :longest]
    return Tokens(ids.gather(1, order), mask.gather(1, order))


def margins_of(
    ranker: NeuralRanker, query: Tokens, passages: Tokens, there: Bool[Tensor, "rows count"]
) -> Float[Tensor, "rows count"]:
    """Scores of `count` passages per query, given row by row; 0 where there is none."""
    flat = there.flatten().nonzero().squeeze(1)
    scores = torch.zeros(there.shape, device=there.device)
    with torch.no_grad():
        values = ranker.token_scores(query.select(flat // there.shape[1]), passages.select(flat))
    return scores.view(-1).index_copy(0, flat, values.float()).view(there.shape)
