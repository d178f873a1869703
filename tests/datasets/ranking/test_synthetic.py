"""The embedded world."""

import pytest
import torch

from robeval.domains.ranking.domain import RankingDomain
from robeval_datasets.ranking.synthetic import Synthetic


@pytest.fixture(scope="module")
def world() -> Synthetic:
    return Synthetic()


def test_the_same_seed_makes_the_same_texts(world: Synthetic) -> None:
    """Texts, lists and targets follow from the seed; another seed makes another world."""
    again, other = Synthetic().split("test"), Synthetic(seed=1).split("test")
    assert world.split("test").identical(again)
    assert world.split("test").corpus == again.corpus
    assert other.corpus != again.corpus


def test_splits_share_no_query(world: Synthetic) -> None:
    """A query is in one split, and there are 600, 80 and 88 of them."""
    queries = {split: set(world.split(split).query.tolist()) for split in ("train", "val", "test")}
    assert [len(queries[split]) for split in ("train", "val", "test")] == [600, 80, 88]
    assert not queries["train"] & queries["test"]
    assert not queries["val"] & queries["test"]


def test_examples_have_no_problems_and_names_of_their_own(world: Synthetic) -> None:
    """Every example of every split passes the domain's checks, under a name that it has alone."""
    for split in ("train", "val", "test"):
        batch = world.split(split)
        assert len(set(batch.ids)) == len(batch)
        assert not any(where.any() for where in RankingDomain().problems(batch).values())
        assert batch.texts() == batch.original_texts()


def test_targets_to_attack_are_irrelevant_and_low(world: Synthetic) -> None:
    """No test target is judged relevant, and all stand in the lower half of the first stage."""
    batch = world.split("test")
    assert batch.grades.gather(1, batch.target.unsqueeze(1)).max() == 0
    assert batch.target.min() >= 50
    assert set(batch.zone) == {"ranks 51-100"}


def test_training_sees_every_grade(world: Synthetic) -> None:
    """Targets of the train split have grades 1, 2 and 3."""
    batch = world.split("train")
    own = batch.grades.gather(1, batch.target.unsqueeze(1)).squeeze(1)
    assert set(own.tolist()) == {1.0, 2.0, 3.0}


def test_hard_targets_end_the_list() -> None:
    """The sampler `hard` takes the last irrelevant candidates."""
    batch = Synthetic(targets="hard", per_query=2).split("test")
    irrelevant = (batch.grades == 0).int() * torch.arange(batch.grades.shape[1])
    assert torch.equal(batch.target[1::2], irrelevant.argmax(dim=1)[1::2])
