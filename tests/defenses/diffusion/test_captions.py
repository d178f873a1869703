"""What an eraser knows about the words."""

from collections import Counter

import pytest

from robeval.domains.diffusion.batch import PromptBatch
from robeval.errors import DataError
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_datasets.diffusion.synthetic import Synthetic
from robeval_defenses.diffusion.captions import known_captions, some_captions


def test_synonyms_are_on_neither_side(training: TrainingOnly) -> None:
    """Captions that name the concept say its own word; no other caption is about it by any word."""
    known = known_captions(training)
    assert known.concept == "circle"
    assert known.naming
    assert all("circle" in text.split() for text in known.naming)
    assert not any({"circle", "disc", "ball"} & set(text.split()) for text in known.others)
    assert len(set(known.naming)) == len(known.naming)
    assert len(set(known.others)) == len(known.others)


def test_a_concept_that_no_caption_names(world: Synthetic) -> None:
    """Then the concept is asked for by a caption made for it."""
    train = world.split("train")
    assert isinstance(train, PromptBatch)
    known = known_captions(TrainingOnly(world.with_train(train.select(~train.targeted))))
    assert known.naming == ("a photo of circle",)


def test_nothing_else_to_keep(world: Synthetic) -> None:
    """A training split about the concept alone is refused."""
    train = world.split("train")
    assert isinstance(train, PromptBatch)
    with pytest.raises(DataError, match="every training caption asks for 'circle'"):
        known_captions(TrainingOnly(world.with_train(train.select(train.targeted))))


def test_every_caption_has_its_turn() -> None:
    """Seven of three: each twice or three times; the same seed gives the same ones."""
    drawn = some_captions(("a", "b", "c"), 7, Seed(0))
    assert sorted(Counter(drawn).values()) == [2, 2, 3]
    assert drawn == some_captions(("a", "b", "c"), 7, Seed(0))
    assert any(drawn != some_captions(("a", "b", "c"), 7, Seed(seed)) for seed in range(1, 5))
