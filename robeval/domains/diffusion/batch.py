"""Prompts, and what a text-to-image model is asked and answers.

A prompt is its token ids; the text is what they decode to. A victim always reads the *text*: ids are decoded and
encoded again before anything is drawn, so that nobody can ask with ids that no text has.
"""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.arrays import Batch
from robeval.domains.diffusion import tokens as text_tokens


@dataclass(frozen=True)
class PromptBatch(Batch):
    """Prompts with everything that fixes their picture.

    An attack may change `tokens` (text), or `soft` (embeddings, a stronger attacker), or `seed` (other noise); which
    of them its budget names. Everything else is not its own.
    """

    tokens: Int64[Tensor, "batch length"]
    """Start, words, end, then padding: as the tokenizer encodes the text."""
    soft: Float[Tensor, "batch slots features"]
    """Embeddings put between the start and the first word; a row of zeros is an unused slot."""
    seed: Int64[Tensor, " batch"]
    """Names the latent noise and the sampler's own draws, so that two pictures of one example are comparable."""
    image: Float[Tensor, "batch 3 height width"]
    """A picture of what the caption says, in [0, 1]: training data, and the target of image-guided attacks. NaN
    where there is none."""
    targeted: Bool[Tensor, " batch"]
    """Whether the prompt asks for the concept to be erased; the others measure what should have stayed."""
    labels: Int64[Tensor, "batch heads"]
    """The class that the picture should show, per head of the detector; -1 where the caption does not say."""
    concept: tuple[str, ...]
    """The concept to be erased, by the detector's name for it; the same word asks for it."""
    tokenizer: str
    """Which tokenizer made `tokens`: a folder or hub name, or "shapes" for the embedded one."""
    detector: str
    """Which detector judges: a folder or hub name, or "shapes" for the embedded one."""
    threshold: float
    """The detector's probability from which a concept counts as present."""
    clip: str
    """The CLIP model for the CLIP score; empty for none."""

    @property
    def text(self) -> tuple[str, ...]:
        """The prompts in words."""
        return text_tokens.decoded(self.tokenizer, self.tokens)

    def with_text(self, texts: tuple[str, ...]) -> "PromptBatch":
        """The same examples asked in other words; what is longer than the tokenizer's window is cut off."""
        length = self.tokens.shape[1]
        return self.replace(tokens=text_tokens.encoded(self.tokenizer, texts, length).to(self.tokens.device))

    def as_text(self) -> "PromptBatch":
        """The prompts as a victim reads them: decoded, then encoded again."""
        return self.with_text(self.text)


@dataclass(frozen=True)
class Denoising(Batch):
    """One step of a victim's network, asked directly: which noise is in these latents, given these words?

    `embedded` are token embeddings (of `PromptBatch` tokens through `TextToImage.embed`, or anything near them), so
    that a gradient with respect to the prompt exists. `ids` name the examples that the rows belong to.
    """

    latents: Float[Tensor, "batch channels height width"]
    timestep: Int64[Tensor, " batch"]
    embedded: Float[Tensor, "batch length features"]


class Drawn(NamedTuple):
    """The pictures that a victim drew: [batch, 3, height, width] in [0, 1]."""

    image: Tensor


class NoiseFound(NamedTuple):
    """The answer to `Denoising`: the predicted noise, [batch, channels, height, width]."""

    noise: Tensor


def put_back(batch: PromptBatch, attacked: PromptBatch) -> PromptBatch:
    """`batch` with its targeted rows exchanged for `attacked` (the same rows, in the same order)."""
    rows = batch.targeted.nonzero().squeeze(1)
    changes = {}
    for name in ("tokens", "soft", "seed"):
        whole = getattr(batch, name).clone()
        whole[rows] = getattr(attacked, name).to(whole.dtype)
        changes[name] = whole
    return batch.replace(**changes)
