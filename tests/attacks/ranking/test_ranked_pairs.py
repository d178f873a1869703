"""Pseudo-labels from ranked lists."""

import math

import pytest
import torch

from robeval_attacks.ranking.ranked_pairs import Sample, pair_loss, sample, triples_of


@pytest.mark.parametrize(
    ("length", "pairs"), [(29, 400), (100, 400), (26, 325), (28, 375), (25, 300), (10, 45), (1, 0)]
)
def test_a_list_gives_as_many_pairs_as_published(length: int, pairs: int) -> None:
    """25 head passages give 300 pairs of their own, and up to four of the tail each."""
    assert sum(triples_of(length, 25, 4)) == pairs


def test_samples_come_from_head_and_tail() -> None:
    """Three of the first five and two of the rest are drawn, each once, with their places."""
    order = torch.arange(100, 120).expand(50, 20)
    drawn = sample(order, 5, 3, 2, torch.Generator().manual_seed(0))
    assert drawn.present.all()
    assert (drawn.place[:, :3] < 5).all()
    assert (drawn.place[:, 3:] >= 5).all()
    assert (drawn.passage == drawn.place + 100).all()
    assert all(len(set(row)) == 5 for row in drawn.place.tolist())
    assert len(set(drawn.place.flatten().tolist())) == 20


def test_short_lists_are_sampled_without_inventing_passages() -> None:
    """A list of two passages gives two, marked as there; the rest of the sample is not."""
    order = torch.tensor([[7, 3, -1, -1]])
    drawn = sample(order, 3, 3, 1, torch.Generator().manual_seed(0))
    assert sorted(drawn.passage[drawn.present].tolist()) == [3, 7]
    assert drawn.present.sum() == 2


def test_the_loss_is_that_of_the_published_pairs() -> None:
    """Two head passages and one of the tail: 300 parts of one pair's loss and 100 of two pairs' mean."""
    scores = torch.tensor([[2.0, 0.5, 1.0]])
    drawn = Sample(torch.tensor([[1, 2, 3]]), torch.tensor([[0, 4, 60]]), torch.ones(1, 3, dtype=torch.bool))

    def softplus(value: float) -> float:
        return math.log1p(math.exp(value))

    within, across = softplus(-1.5), (softplus(-1.0) + softplus(0.5)) / 2
    expected = (300 * within + 100 * across) / 400
    found = pair_loss(scores, drawn, 25, 4, torch.tensor([100]), smoothing=0.0)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_smoothing_mixes_in_the_wrong_order() -> None:
    """With smoothing 0.1 a twentieth of the weight is on the pair turned round."""
    drawn = Sample(torch.tensor([[1, 2]]), torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool))
    scores = torch.tensor([[1.0, 0.0]])
    found = pair_loss(scores, drawn, 25, 4, torch.tensor([2]), smoothing=0.1)
    logits = torch.tensor([0.0, 1.0])  # the difference vector whose second entry stands for "better"
    target = torch.tensor([0.05, 0.95])
    assert float(found) == pytest.approx(float(-(target * logits.log_softmax(0)).sum()), abs=1e-6)
