"""Constant velocity by hand."""

import pytest
import torch

from robeval.domains.trajectory.batch import SMALL_VEHICLE, Observation
from robeval.domains.trajectory.victims.constant_velocity import ConstantVelocity

X = [1.0, 2.0, 4.0, 7.0]


def observed(present: list[bool]) -> Observation:
    """One target at x = 1, 2, 4, 7 and y = 10, seen where `present`, 0.5 s apart, three frames to predict."""
    past = torch.tensor([[[[x, 10.0] for x in X]]])
    mask = torch.tensor([[present]])
    kind = torch.full((1, 1), SMALL_VEHICLE, dtype=torch.int8)
    return Observation(
        ("one",), torch.where(mask.unsqueeze(-1), past, 0.0), mask, kind, torch.tensor([0.5]), 3
    )


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([True, True, True, True], [10.0, 13.0, 16.0]),  # the last step, 3 m, goes on
        ([True, True, False, True], [8.0, 9.0, 10.0]),  # the last known step is 1 m
        ([True, True, True, False], [8.0, 10.0, 12.0]),  # at 4 one frame ago, 2 m a frame: now at 6
        ([True, False, True, False], [4.0, 4.0, 4.0]),  # no step is known: stands where it was seen last
        ([False, False, False, True], [7.0, 7.0, 7.0]),
    ],
)
def test_the_last_known_step_is_repeated(present: list[bool], expected: list[float]) -> None:
    """The path continues the last step of which both ends were seen, from where the target is now."""
    paths, probability = ConstantVelocity().predict(observed(present))
    assert torch.equal(paths, torch.tensor([[[[x, 10.0] for x in expected]]]))
    assert torch.equal(probability, torch.ones(1, 1))


def test_nothing_is_trained() -> None:
    """It has no steps and no weights."""
    victim = ConstantVelocity()
    assert victim.steps == 0
    assert list(victim.parameters()) == []


def test_its_slope_is_known() -> None:
    """Moving the last position by 1 m moves prediction k by 1 + k metres, the one before by -k."""
    seen = observed([True] * 4)
    past = seen.past.clone().requires_grad_()
    path = ConstantVelocity().predict(seen.replace(past=past)).paths[0, 0]
    for k in (1, 2, 3):
        (slope,) = torch.autograd.grad(path[k - 1, 0], past, retain_graph=True)
        assert slope[0, 0, :, 0].tolist() == [0.0, 0.0, -k, 1.0 + k]
        assert (slope[..., 1] == 0).all()
