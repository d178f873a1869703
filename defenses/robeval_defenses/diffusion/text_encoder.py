"""A text encoder that was made robust elsewhere, plugged in."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from torch import nn

from robeval.domains.diffusion.transplant import digest, with_text_encoder
from robeval.errors import MissingFile
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Seed

_MARKED = re.compile(r"(?P<place>.+)@(?P<digest>[0-9a-f]{12})")


def marked(weights: str) -> str:
    """The place with a digest of its weights, so that figures of other weights are never taken for these.

    Raises ValueError when a digest is given and the weights have another one.
    """
    given = _MARKED.fullmatch(weights)
    place = given["place"] if given else weights
    try:
        found = digest(Path(place))
    except MissingFile:
        return weights
    if given and given["digest"] != found:
        raise ValueError(f"the weights there are {found} now: write {place} for these")
    return f"{place}@{found}"


@dataclass(frozen=True)
class TextEncoder(Defense):
    """Read prompts by a text encoder that was made robust in another model.

    `robeval export text-encoder` writes one. Nothing is trained; UNet and autoencoder stay the victim's own.

    Source: Zhang et al. (AdvUnlearn), arXiv:2405.15234: its text encoder is plugged into other Stable Diffusion models.
    """

    weights: Annotated[
        str,
        AfterValidator(marked),
        Field(description="the encoder's folder, or a safetensors file; a digest is added: FOLDER@DIGEST"),
    ]

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """A copy of the victim with that encoder. Raises MissingFile or UsageError when it does not fit."""
        given = _MARKED.fullmatch(self.weights)
        return with_text_encoder(victim, Path(given["place"] if given else self.weights))
