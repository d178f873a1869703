"""The default victim: a small BERT that reads query and passage together."""

from typing import Annotated

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.framing import framed_pair
from robeval.domains.ranking.tokens import VOCABULARY, Tokens, bert_template
from robeval.domains.ranking.victims.base import SmallVictim, start_as_similarity


class CrossEncoder(SmallVictim):
    """BERT with 2 layers of 64, [CLS] query [SEP] passage [SEP], score = difference of two logits.

    Source: Nogueira and Cho, arXiv:1901.04085; loss and margin as in the imitation of arXiv:2209.06506.
    Differs: small, with a vocabulary made from the corpus, word vectors from its counts and attention that starts as
    similarity, so that it trains in seconds; reads the mean state of the query's tokens instead of [CLS].
    """

    def __init__(
        self,
        *,
        hidden: Annotated[int, Field(ge=8, multiple_of=4, description="width of a layer")] = 64,
        layers: Annotated[int, Field(ge=1, description="layers")] = 2,
        max_length: Annotated[int, Field(ge=16, description="tokens read, query and passage together")] = 96,
        vocabulary: Annotated[
            int, Field(ge=128, description="pieces of the vocabulary, at most")
        ] = VOCABULARY,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 250,
        train_batch_size: Annotated[int, Field(ge=1, description="pairs in a training step")] = 32,
        learning_rate: Annotated[float, Field(gt=0, description="AdamW's largest step size")] = 2e-3,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint, self.max_length, self.vocabulary = checkpoint, max_length, vocabulary
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=2 * hidden,
            max_position_embeddings=max_length,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 2))
        start_as_similarity(self.encoder)
        self._start()

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """BERT's word embeddings."""
        weight: Tensor = self.encoder.embeddings.word_embeddings.weight
        return weight

    def relevance_from_embeddings(
        self, query: Tokens, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The margin of "relevant" over "not relevant"."""
        given = framed_pair(bert_template(), self.word_vectors, query, vectors, mask)
        states = self.encoder(
            inputs_embeds=given.vectors, attention_mask=given.mask, token_type_ids=given.segments
        ).last_hidden_state
        # The query's words have looked for themselves in the passage: their states say whether they found it.
        asked = (given.mask * (given.segments == 0)).unsqueeze(-1).to(states.dtype)
        logits: Tensor = self.head((states * asked).sum(dim=1) / asked.sum(dim=1))
        return logits[:, 1] - logits[:, 0]
