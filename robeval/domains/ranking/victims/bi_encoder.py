"""A small BERT that reads query and passage apart: passages are encoded once."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.framing import Framed, framed_single
from robeval.domains.ranking.tokens import VOCABULARY, bert_template
from robeval.domains.ranking.victims.base import SmallVictim, start_as_similarity
from robeval.domains.ranking.victims.dual import DualVictim


class BiEncoder(SmallVictim, DualVictim):
    """BERT with 1 layer of 64 over query and passage apart; score = scaled cosine of the mean states.

    Source: Reimers and Gurevych, arXiv:1908.10084.
    Differs: small, with a vocabulary made from the corpus and word vectors from its counts, trained by RankNet.
    """

    def __init__(
        self,
        *,
        hidden: Annotated[int, Field(ge=8, multiple_of=4, description="width of a layer")] = 64,
        layers: Annotated[int, Field(ge=1, description="layers")] = 1,
        max_length: Annotated[int, Field(ge=16, description="tokens read of a passage")] = 96,
        vocabulary: Annotated[
            int, Field(ge=128, description="pieces of the vocabulary, at most")
        ] = VOCABULARY,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 200,
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
        start_as_similarity(self.encoder)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self._start()

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """BERT's word embeddings."""
        weight: Tensor = self.encoder.embeddings.word_embeddings.weight
        return weight

    def similarity(
        self, query: Float[Tensor, "rows features"], passage: Float[Tensor, "rows features"]
    ) -> Float[Tensor, " rows"]:
        """The scaled cosine."""
        return self.scale * torch.cosine_similarity(query, passage, dim=1)

    def read(
        self, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, "rows features"]:
        """The mean of the last states."""
        given = framed_single(bert_template(), self.word_vectors, vectors, mask)
        states = self.encoder(
            inputs_embeds=given.vectors, attention_mask=given.mask, token_type_ids=given.segments
        ).last_hidden_state
        return mean_state(states, given)


def mean_state(states: Float[Tensor, "rows length hidden"], given: Framed) -> Float[Tensor, "rows hidden"]:
    """The mean over tokens that are no padding."""
    weight = given.mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1)
