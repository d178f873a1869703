"""What an eraser knows: captions that name the concept, and captions of other things."""

from typing import NamedTuple

import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.errors import DataError
from robeval.plugins.data import Dataset
from robeval.seeding import Seed


class Known(NamedTuple):
    """Different captions of the training split."""

    concept: str
    naming: tuple[str, ...]
    """Captions with the concept's own word in them (synonyms of it are not known)."""
    others: tuple[str, ...]
    """Captions that ask for something else."""


def known_captions(data: Dataset) -> Known:
    """The captions of the training split, each once, in the order of their first appearance.

    Where none names the concept it is "a photo of" it. Raises DataError when nothing else is ever asked for.
    """
    train = data.split("train")
    assert isinstance(train, PromptBatch)
    concept = train.concept[0]
    texts = list(zip(train.text, train.targeted.tolist(), strict=True))
    naming = dict.fromkeys(text for text, targeted in texts if targeted and f" {concept} " in f" {text} ")
    others = dict.fromkeys(text for text, targeted in texts if not targeted)
    if not others:
        raise DataError(
            f"every training caption asks for '{concept}'; add some that ask for other things, so that a defense "
            "knows what is to stay"
        )
    return Known(concept, tuple(naming) or (f"a photo of {concept}",), tuple(others))


def some_captions(texts: tuple[str, ...], count: int, seed: Seed) -> tuple[str, ...]:
    """`count` of them by lot, each as often as any other (give or take one)."""
    order = torch.randperm(len(texts), generator=seed.generator()).tolist()
    return tuple(texts[order[number % len(texts)]] for number in range(count))
