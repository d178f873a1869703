"""What every ranker offers: a victim, or a defense around one."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robeval.domains.ranking.batch import Ranking, RankingBatch, no_removals
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.memo import PairMemo
from robeval.domains.ranking.tokens import Tokenizer, Tokens

ROWS_TOKENS = 16_384
"""Tokens (rows x length) that go through an encoder at once: fits a processor's cache."""


class Ranker(nn.Module):
    """Scores of texts for queries; higher is better, one score per row, each row on its own.

    Write `text_scores` (and `tokenizer`); `forward` ranks whole lists, and asks about unchanged passages once.
    """

    @abstractmethod
    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The tokenizer whose tokens this ranker reads; budgets are measured with it."""

    @abstractmethod
    def text_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The score of any texts, each for the query of that number."""

    def pair_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The same for passages of the corpus, by number."""
        return self.text_scores(corpus, query, [corpus.passages[number] for number in passage.tolist()])

    def own_scores(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """The scores of the targets' texts as they are now."""
        return self.text_scores(batch.corpus, batch.query, batch.texts())

    def listed_scores(self, batch: RankingBatch) -> Float[Tensor, "batch list"]:
        """The scores of all candidates but the target, as the corpus has them; 0 elsewhere. No gradient."""
        row, place = batch.others.nonzero(as_tuple=True)
        query, passage = batch.query[row], batch.candidates[row, place]
        values = self._memo.scores(
            self, batch.corpus, query, passage, lambda q, p: self.pair_scores(batch.corpus, q, p)
        )
        scores = torch.zeros(batch.candidates.shape, device=values.device)
        scores[row, place] = values
        return scores

    def forward(self, batch: RankingBatch) -> Ranking:
        """The list of every example with the target's text as it is now."""
        own = self.own_scores(batch).float()
        scores = self.listed_scores(batch).scatter(1, batch.target.unsqueeze(1), own.unsqueeze(1))
        return Ranking(scores, batch.candidates, batch.target, no_removals(batch.candidates))

    @property
    def _memo(self) -> PairMemo:
        kept = self.__dict__.get("_pair_memo")
        if kept is None:
            kept = self.__dict__["_pair_memo"] = PairMemo()
        return kept


class NeuralRanker(Ranker):
    """A ranker that reads word vectors, so that gradients reach the words.

    Write `tokenizer`, `word_vectors` and `relevance_from_embeddings`.
    """

    max_length: int = 128
    """Tokens of query, passage and special tokens together; a passage is cut, never a query."""

    @property
    @abstractmethod
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """The table that token ids look their vectors up in."""

    @abstractmethod
    def relevance_from_embeddings(
        self, query: Tokens, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The score of passages given as word vectors, differentiable; `mask` is False on padding."""

    def relevance(self, query: Tokens, passage: Tokens) -> Float[Tensor, " rows"]:
        """The score of passages given as tokens, cut to what fits."""
        passage = passage.cut(max(self.room(query), 0))
        return self.relevance_from_embeddings(query, self.embed(passage), passage.mask)

    def embed(self, passage: Tokens) -> Float[Tensor, "rows length hidden"]:
        """The word vectors of a passage's tokens."""
        return torch.nn.functional.embedding(passage.ids, self.word_vectors)

    def room(self, query: Tokens) -> int:
        """Passage tokens that fit behind the longest of these queries."""
        return self.max_length - query.ids.shape[1] - 4

    def query_tokens(self, corpus: Corpus, query: Int64[Tensor, " rows"]) -> Tokens:
        """The tokens of queries by number, read once per corpus; at most half of `max_length`."""
        tokenizer = self.tokenizer(corpus)
        known = corpus.shared(("query tokens", tokenizer.digest), lambda: tokenizer.encode(corpus.queries))
        return known.select(query.cpu()).cut(self.max_length // 2).to(query.device)

    def passage_tokens(self, corpus: Corpus, passage: Int64[Tensor, " rows"]) -> Tokens:
        """The tokens of passages by number, read once per corpus."""
        tokenizer = self.tokenizer(corpus)
        known = corpus.shared(
            ("passage tokens", tokenizer.digest, self.max_length),
            lambda: tokenizer.encode(corpus.passages).cut(self.max_length),
        )
        return known.select(passage.cpu()).to(passage.device)

    def text_tokens(self, corpus: Corpus, texts: Sequence[str]) -> Tokens:
        """The tokens of any texts, on this ranker's device."""
        return self.tokenizer(corpus).encode(texts).to(self.word_vectors.device)

    def text_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The score of any texts; many rows go through in pieces of similar length."""
        return self.token_scores(self.query_tokens(corpus, query), self.text_tokens(corpus, texts))

    def pair_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The same for passages of the corpus, whose tokens are read once."""
        return self.token_scores(self.query_tokens(corpus, query), self.passage_tokens(corpus, passage))

    def token_scores(self, query: Tokens, passage: Tokens) -> Float[Tensor, " rows"]:
        """`relevance` of many rows, sorted by length and taken in pieces."""
        if not len(passage.ids):
            return self.word_vectors.new_zeros(0)
        passage = passage.cut(self.max_length)
        length = passage.mask.sum(dim=1) + query.mask.sum(dim=1)
        order = length.argsort(stable=True)
        found = [
            self.relevance(query.select(rows), passage.select(rows)) for rows in pieces(order, length[order])
        ]
        return torch.cat(found)[order.argsort()]


def pieces(order: Int64[Tensor, " rows"], length: Int64[Tensor, " rows"]) -> list[Tensor]:
    """`order` in runs of at most ROWS_TOKENS tokens, padding included."""
    pieces, start = [], 0
    lengths = length.tolist()
    for end in range(1, len(lengths) + 1):
        is_last = end == len(lengths)
        if is_last or (end + 1 - start) * (lengths[end] + 4) > ROWS_TOKENS:
            pieces.append(order[start:end])
            start = end
    return pieces
