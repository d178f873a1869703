"""Randomly changed copies of texts, and how differently two similar texts' copies are distributed."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from robeval.domains.ranking.corpus import Corpus
from robeval.seeding import Draws


@runtime_checkable
class Copier(Protocol):
    """What smoothing does to a text."""

    def copies(self, corpus: Corpus, texts: Sequence[str], draw: Draws, count: int) -> list[str]:
        """`count` copies of each text, a text's copies adjacent. A text's copies depend on it and its stream only."""
        ...

    def shift(self, corpus: Corpus, texts: Sequence[str]) -> Float[Tensor, " rows"]:
        """An upper bound on the total variation between copies of a text and of any text within the radius."""
        ...
