"""Rankers that read query and passage apart, so that every passage is encoded once."""

from abc import abstractmethod
from collections.abc import Hashable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.memo import state_of
from robeval.domains.ranking.ranker import NeuralRanker, pieces
from robeval.domains.ranking.tokens import Tokens
from robeval.domains.ranking.victims.base import NeuralVictim


class DualVictim(NeuralVictim):
    """Write `read` and `similarity` (and what `NeuralVictim` wants)."""

    @abstractmethod
    def read(
        self, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, "rows features"]:
        """The encoding of texts given as word vectors."""

    @abstractmethod
    def similarity(
        self, query: Float[Tensor, "rows features"], passage: Float[Tensor, "rows features"]
    ) -> Float[Tensor, " rows"]:
        """The score of two encodings."""

    def relevance_from_embeddings(
        self, query: Tokens, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The similarity of both encodings."""
        return self.similarity(self._read_tokens(query), self.read(vectors, mask))

    def room(self, query: Tokens) -> int:
        """A query takes no room from a passage."""
        return self.max_length - 2

    def pair_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The scores of passages of the corpus; outside training their encodings are kept."""
        if torch.is_grad_enabled():
            return NeuralRanker.pair_scores(self, corpus, query, passage)
        return self._kept_scores(corpus, query, passage)

    def _kept_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        asked, place = torch.unique(query, return_inverse=True)
        encoded = self._read_tokens(self.query_tokens(corpus, asked))
        return self.similarity(encoded[place], self._encodings(corpus, passage))

    def own_scores(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """The targets' scores; of those that are as the corpus has them the kept encodings serve."""
        corpus, passage = batch.corpus, batch.passage
        texts = batch.texts()
        same = [text == corpus.passages[number] for text, number in zip(texts, passage.tolist(), strict=True)]
        if torch.is_grad_enabled() or not any(same):
            return NeuralRanker.own_scores(self, batch)
        known = torch.tensor(same, device=passage.device)
        scores = torch.zeros(len(batch), device=passage.device)
        scores[known] = self._kept_scores(corpus, batch.query[known], passage[known]).float()
        if not all(same):
            changed = [text for text, is_same in zip(texts, same, strict=True) if not is_same]
            scores[~known] = self.text_scores(corpus, batch.query[~known], changed).float()
        return scores

    def _encodings(self, corpus: Corpus, passage: Int64[Tensor, " rows"]) -> Float[Tensor, "rows features"]:
        """Of passages by number, each read once while the weights stay as they are."""
        owner: Hashable = (corpus.digest, passage.device, state_of(self))
        kept = self.__dict__.get("_kept")
        if kept is None or kept[0] != owner:
            known = torch.zeros(len(corpus.passages), dtype=torch.bool, device=passage.device)
            kept = self.__dict__["_kept"] = [owner, known, None]
        new = torch.unique(passage[~kept[1][passage]])
        if len(new):
            found = self._read_long(self.passage_tokens(corpus, new))
            if kept[2] is None:
                kept[2] = found.new_zeros(len(corpus.passages), found.shape[1])
            kept[2][new], kept[1][new] = found, True
        table: Tensor = kept[2]
        return table[passage]

    def _read_tokens(self, tokens: Tokens) -> Float[Tensor, "rows features"]:
        return self.read(self.embed(tokens), tokens.mask)

    def _read_long(self, tokens: Tokens) -> Float[Tensor, "rows features"]:
        """Many rows, sorted by length and taken in pieces."""
        length = tokens.mask.sum(dim=1)
        order = length.argsort(stable=True)
        tokens = tokens.cut(self.max_length - 2)
        found = [self._read_tokens(tokens.select(rows)) for rows in pieces(order, length[order])]
        return torch.cat(found)[order.argsort()]
