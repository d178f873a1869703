"""Test-time smoothing changes what the victim sees, and nothing else."""

import pytest
import torch
from torch import nn

from robeval.errors import PluginError
from robeval.seeding import Seed
from robeval_defenses.trajectory.smoothing import Smoothing


def test_the_victim_sees_the_smoothed_history(scenes, steady, data) -> None:
    """On 0 3 3 9 the victim continues from 5 and 9: by 4 a step."""
    batch = scenes(1)
    batch.track[0, 0, :4] = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    path = Smoothing().harden(steady, data, Seed(0))(batch).paths[0, 0, 0]
    assert torch.allclose(path[:, 0], 9 + 4 * torch.arange(1.0, 7.0))


def test_all_agents_are_smoothed(scenes, steady, data) -> None:
    """Neighbours go through the same filter, empty places stay empty."""
    seen = scenes(3).observation()
    cleaned = Smoothing().harden(steady, data, Seed(0)).cleaned(seen)
    inner = (seen.past[:, 1, 0] + seen.past[:, 1, 1] + seen.past[:, 1, 2]) / 3
    assert torch.allclose(cleaned.past[:, 1, 1], inner, atol=1e-5)
    assert torch.equal(cleaned.past[:, 2], seen.past[:, 2])


@pytest.mark.parametrize("options", [{}, {"kernel": "spline", "smooth_last": "kalman"}])
def test_rows_dtype_and_input_are_kept(scenes, steady, data, options) -> None:
    """Float64 stays float64, rows do not mix, the input is not written to."""
    batch = scenes(5, windows=3)
    batch = batch.replace(track=batch.track.double())
    before = batch.track.clone()
    hardened = Smoothing(**options).harden(steady, data, Seed(0))
    whole = hardened(batch).paths
    assert whole.dtype == torch.float64
    assert torch.allclose(whole[2:3], hardened(batch.select([2])).paths, atol=1e-12)
    assert torch.equal(batch.track, before)


def test_an_attacker_can_differentiate(scenes, steady, data) -> None:
    """The gradient reaches every frame of the history through the filter."""
    batch = scenes(2)
    track = batch.track.clone().requires_grad_()
    hardened = Smoothing().harden(steady, data, Seed(0))
    (slope,) = torch.autograd.grad(hardened(batch.replace(track=track)).paths.sum(), track)
    assert (slope[:, 0, 1:4].abs() > 0).all()
    assert (slope[:, 0, 4:] == 0).all()


def test_features_pass_through(scenes, tiny, data) -> None:
    """The encoding is that of the smoothed history."""
    seen = scenes(3).observation()
    hardened = Smoothing().harden(tiny, data, Seed(0))
    assert torch.equal(hardened.features(seen), tiny.features(hardened.cleaned(seen)))


def test_other_modules_are_refused(data) -> None:
    """Something that is no predictor gets an answer that says what is needed."""
    with pytest.raises(PluginError, match="Predictor"):
        Smoothing().harden(nn.Linear(2, 2), data, Seed(0))
