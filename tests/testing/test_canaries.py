"""The canaries are broken in the way that they claim."""

import pytest
import torch

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import Predictor, certain
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval.testing.canaries import NotANumber, QuantisedInput


class Last(Predictor):
    """Stays where it was seen last."""

    def predict(self, seen: Observation) -> Prediction:
        return certain(seen.past[:, 0, -1:].expand(-1, seen.horizon, 2))


class Nothing(Dataset):
    """A dataset that is never read."""

    domain = "trajectory"

    def load(self, split):
        raise AssertionError("canaries need no data")


@pytest.fixture
def seen() -> Observation:
    """One target that stood at (0.3, 0.8)."""
    past = torch.tensor([0.3, 0.8]).expand(1, 1, 4, 2).clone().requires_grad_()
    mask = torch.ones(1, 1, 4, dtype=torch.bool)
    return Observation(("a",), past, mask, torch.ones(1, 1, dtype=torch.int8), torch.tensor([0.5]), 3)


def test_quantised_input_rounds_and_hides_the_gradient(seen) -> None:
    """Positions go to the nearest half metre, the gradient is zero, and an exact one is claimed."""
    answer = QuantisedInput().harden(Last(), Nothing(), Seed(0)).predict(seen)
    assert torch.allclose(answer.paths[0, 0, 0], torch.tensor([0.5, 1.0]))
    (slope,) = torch.autograd.grad(answer.paths.sum(), seen.past)
    assert (slope == 0).all()
    assert QuantisedInput.gradient == "exact"


def test_not_a_number_answers_nan(seen) -> None:
    """Every coordinate is NaN, the probability stays."""
    answer = NotANumber().harden(Last(), Nothing(), Seed(0)).predict(seen)
    assert answer.paths.isnan().all()
    assert (answer.probability == 1).all()
