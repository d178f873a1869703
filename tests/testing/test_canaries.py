"""The canaries are broken in the way that they claim."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from robeval.arrays import Batch
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Noise, Seed
from robeval.testing.canaries import NotANumber, Quantised, Rippled, Saturated
from robeval.testing.linear import PointData, Points

AT = ((0.3, 0.8), (-0.3, 1.6))


class Identity(nn.Module):
    """Answers with the first coordinate."""

    def forward(self, batch: Points) -> Tensor:
        return batch.point[:, 0]


class Nothing(Dataset):
    """A dataset that is never read."""

    domain = "linear"

    def load(self, split: str) -> Batch:
        raise AssertionError("canaries need no data")


@pytest.fixture
def points() -> Points:
    """Two points off any grid, as the leaves of a graph."""
    return Points(("a", "b"), torch.tensor(AT).requires_grad_(), torch.ones(2))


def hardened(defense: Defense, round: int = 0) -> nn.Module:
    """The identity behind a canary, in a round of its noise."""
    victim = defense.harden(Identity(), Nothing(), Seed(0))
    for module in victim.modules():
        if isinstance(module, Noise):
            module.round = round
    return victim


def slope(victim: nn.Module, points: Points) -> Tensor:
    """The derivative of each answer by its own point."""
    (found,) = torch.autograd.grad(victim(points).sum(), points.point)
    return found


def test_quantised_rounds_and_hides_the_gradient(points: Points) -> None:
    """Coordinates go to the nearest half, the gradient is zero, and an exact one is claimed."""
    victim = hardened(Quantised(("point",)))
    assert torch.equal(victim(points), torch.tensor([0.5, -0.5]))
    assert (slope(victim, points) == 0).all()
    assert Quantised.gradient == "exact"


def test_saturated_steps_like_quantised_with_a_slope_too_small_to_follow(points: Points) -> None:
    """The stairs are as high as the grid's, and between two steps the slope is below a billionth."""
    victim = hardened(Saturated(("point",)))
    assert torch.allclose(victim(points), torch.tensor([0.5, -0.5]), atol=1e-6)
    assert slope(victim, points).abs().max() < 1e-9


def test_rippled_hardly_moves_its_input_but_its_slopes_disagree(points: Points) -> None:
    """An answer moves by at most the ripple's height; slopes under two draws differ, their mean is the identity's."""
    defense = Rippled(("point",))
    answer = hardened(defense)(points)
    assert (answer - points.point[:, 0]).abs().max() <= defense.height + 1e-6
    many = torch.stack([slope(hardened(defense, number), points)[:, 0] for number in range(400)])
    assert many.std(dim=0).min() > 5
    assert torch.allclose(many.mean(dim=0), torch.ones(2), atol=1.2)


def test_rippled_answers_the_same_in_one_round(points: Points) -> None:
    """The judge's round is one fixed ripple."""
    assert torch.equal(hardened(Rippled(("point",)))(points), hardened(Rippled(("point",)))(points))


def test_not_a_number_answers_nan(points: Points) -> None:
    """Every answer is NaN."""
    assert hardened(NotANumber())(points).isnan().all()


def test_other_fields_pass_untouched() -> None:
    """A stage changes the fields that it names and no other."""
    batch: Points = PointData(8).split("test")
    seen: list[Sequence[float]] = []

    class Spy(nn.Module):
        def forward(self, given: Points) -> Tensor:
            seen.append(given.label.tolist())
            return given.label

    Quantised(("point",)).harden(Spy(), Nothing(), Seed(0))(batch)
    assert seen == [batch.label.tolist()]
