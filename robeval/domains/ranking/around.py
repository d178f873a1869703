"""A ranker around another one: the base of defenses that act at inference."""

from collections.abc import Sequence

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.ranker import NeuralRanker, Ranker
from robeval.domains.ranking.tokens import Tokenizer, Tokens
from robeval.errors import UsageError


class RankerAround(NeuralRanker):
    """Answers as `victim` does; override what the defense changes.

    Gradients pass through where the victim has word vectors; elsewhere asking for them raises UsageError.
    """

    def __init__(self, victim: Ranker) -> None:
        super().__init__()
        self.victim = victim

    @property
    def max_length(self) -> int:  # type: ignore[override]
        """The victim's."""
        return self.neural.max_length

    @property
    def neural(self) -> NeuralRanker:
        """The victim, if it reads word vectors. Raises UsageError otherwise."""
        if not isinstance(self.victim, NeuralRanker):
            raise UsageError(
                f"{type(self.victim).__name__} has no word vectors, so nothing can be differentiated through it; "
                "choose a neural victim (cross-encoder, bi-encoder) or an attack without gradients"
            )
        return self.victim

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """The victim's."""
        return self.neural.word_vectors

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The victim's."""
        return self.victim.tokenizer(corpus)

    def relevance_from_embeddings(
        self, query: Tokens, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The victim's."""
        return self.neural.relevance_from_embeddings(query, vectors, mask)

    def text_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The victim's."""
        return self.victim.text_scores(corpus, query, texts)

    def pair_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The victim's."""
        return self.victim.pair_scores(corpus, query, passage)
