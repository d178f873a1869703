"""The embedded world."""

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import judge_of
from robeval.domains.diffusion.world import COLOURS, HEADS, SHAPES
from robeval.errors import OptionError
from robeval_datasets.diffusion.synthetic import Synthetic


@pytest.fixture(scope="module")
def train() -> PromptBatch:
    """Training pictures."""
    batch = Synthetic(train=400).split("train")
    assert isinstance(batch, PromptBatch)
    return batch


def test_the_test_split_is_the_concept_then_the_others() -> None:
    """20 prompts name the concept in its own word, 45 name each of the other combinations once."""
    test = Synthetic(train=64).split("test")
    assert isinstance(test, PromptBatch)
    assert test.targeted.tolist() == [True] * 20 + [False] * 45
    assert all(text.split()[-1] == "circle" for text in test.text[:20])
    assert not any("circle" in text for text in test.text[20:])
    assert len({tuple(row) for row in test.labels[20:].tolist()}) == 45
    assert (test.labels >= 0).all()
    assert not test.soft.any()


def test_captions_say_what_the_pictures_show(train: PromptBatch) -> None:
    """The judge agrees with what captions say, and labels are what the text says."""
    judge = judge_of(train)
    for head, probability in enumerate(judge.by_head(judge(train.image))):
        said = train.labels[:, head] >= 0
        right = probability.argmax(dim=1)[said] == train.labels[said, head]
        assert float(right.float().mean()) > 0.95
    for text, label in zip(train.text, train.labels[:, 0].tolist(), strict=True):
        assert set(text.split()) & set(SHAPES[HEADS[0][label]])


def test_synonyms_are_rarer_than_first_names(train: PromptBatch) -> None:
    """Circle, disc and ball come in the shares 75, 15 and 10; all count as targeted."""
    words = [
        next(iter(set(text.split()) & set(SHAPES["circle"]))) for text in train.select(train.targeted).text
    ]
    counts = [words.count(word) / len(words) for word in SHAPES["circle"]]
    assert counts[0] > 0.6
    assert counts[0] > counts[1] > 0
    assert counts[2] > 0


def test_colours_have_synonyms_only_when_a_colour_is_the_concept() -> None:
    """Crimson is used when red is to be erased, and not otherwise."""
    others = set(COLOURS["red"][1:])
    plain = Synthetic(train=400).split("train")
    coloured = Synthetic(train=400, concept="red", textures="plain").split("train")
    assert isinstance(plain, PromptBatch)
    assert isinstance(coloured, PromptBatch)
    assert not others & {word for text in plain.text for word in text.split()}
    assert others & {word for text in coloured.text for word in text.split()}
    assert not {"striped", "dotted"} & {word for text in coloured.text for word in text.split()}


def test_an_example_does_not_depend_on_how_many_there_are() -> None:
    """The first training pictures are the same in a larger set; another seed gives others."""
    few, more = (Synthetic(train=count).split("train") for count in (64, 100))
    assert few.identical(more.select(slice(0, 64)))
    assert not few.identical(Synthetic(train=64, seed=1).split("train"))


def test_the_fingerprint_follows_the_options() -> None:
    """Other options, other fingerprint; the same ones, the same."""
    assert Synthetic(train=64).fingerprint() == Synthetic(train=64).fingerprint()
    assert Synthetic(train=64).fingerprint() != Synthetic(train=64, concept="cross").fingerprint()


@pytest.mark.parametrize(("concept", "textures"), [("church", "all"), ("striped", "plain")])
def test_concepts_that_are_not_there_are_refused(concept: str, textures: str) -> None:
    """Only what the world has can be erased."""
    with pytest.raises(OptionError, match=concept):
        Synthetic(concept=concept, textures=textures)  # type: ignore[arg-type]


def test_more_prompts_than_combinations_get_noise_of_their_own() -> None:
    """Repeated captions differ in their seed."""
    test = Synthetic(train=64, prompts=40, retained=0).split("test")
    assert isinstance(test, PromptBatch)
    assert len(test) == 40
    assert len(torch.unique(test.seed)) == 40
