"""Filters are hand-computed, respect masks and keep their promises about the last position."""

import pytest
import torch

from robeval_defenses.trajectory.filters import (
    LAST_MOVES_M,
    holt,
    kalman,
    mean3,
    moving_average,
    smoothed,
    spline,
)


def line(*x: float) -> torch.Tensor:
    """A track [1, frames, 2] with these x and y = 0."""
    return torch.stack([torch.tensor(x), torch.zeros(len(x))], dim=-1).unsqueeze(0)


def seen(*flags: int) -> torch.Tensor:
    """A mask [1, frames]."""
    return torch.tensor([flags]).bool()


def test_mean3_of_a_known_track() -> None:
    """0 3 3 9 becomes 0 2 5 9: inner frames average, ends stay."""
    assert torch.allclose(mean3(line(0, 3, 3, 9), seen(1, 1, 1, 1)), line(0, 2, 5, 9))


def test_mean3_leaves_frames_beside_a_gap() -> None:
    """Only frames with two present neighbours move; absent positions are neither read nor written."""
    past = line(0, 3, 3, 9, 1000, 7, 20)
    expected = line(0, 2, 5, 9, 1000, 7, 20)
    assert torch.allclose(mean3(past, seen(1, 1, 1, 1, 0, 1, 1)), expected)


def test_short_tracks_stay() -> None:
    """Two frames have no inner one."""
    for kernel in (mean3, spline):
        assert torch.equal(kernel(line(0, 5), seen(1, 1)), line(0, 5))


@pytest.mark.parametrize("kernel", ["mean3", "spline"])
@pytest.mark.parametrize("smooth_last", ["keep", "holt", "kalman"])
def test_constant_speed_is_left_alone(kernel, smooth_last) -> None:
    """A track without jitter needs no smoothing by any filter."""
    past = line(*[2.5 * k for k in range(6)]).double()
    result = smoothed(past, seen(1, 1, 1, 1, 1, 1), torch.tensor([0.5]).double(), kernel, smooth_last)
    assert torch.allclose(result, past, atol=1e-9)


@pytest.mark.parametrize("kernel", ["mean3", "spline"])
def test_smoothing_takes_out_jitter(kernel) -> None:
    """A zigzag's second differences shrink to less than half."""
    past = line(0, 2, 2, 4, 4, 6)
    result = smoothed(past, seen(1, 1, 1, 1, 1, 1), torch.tensor([0.5]), kernel, "keep")
    assert result.diff(n=2, dim=1).abs().max() < 0.5 * past.diff(n=2, dim=1).abs().max()


def test_spline_minimises_its_objective() -> None:
    """No small change of the fitted curve lowers squared error plus squared second difference."""
    past = line(0.0, 1.1, 1.9, 3.05, 4.0, 5.0).double()
    fitted = spline(past, seen(1, 1, 1, 1, 1, 1)).requires_grad_()
    objective = (fitted - past).square().sum() + fitted.diff(n=2, dim=1).square().sum()
    (slope,) = torch.autograd.grad(objective, fitted)
    assert slope.abs().max() < 1e-9


def test_spline_moves_the_last_position_little() -> None:
    """An outlier at the end moves by 0.2 m towards the curve, not more."""
    past = line(0, 1, 2, 3, 14)
    moved = (spline(past, seen(1, 1, 1, 1, 1)) - past)[0, -1].norm()
    assert moved.item() == pytest.approx(LAST_MOVES_M, abs=1e-5)


def test_spline_ignores_absent_frames() -> None:
    """What stands at an absent frame changes nothing and is kept; too few frames stay as they are."""
    mask = seen(1, 1, 0, 1, 1)
    one, other = spline(line(0, 2, 50, 3, 4), mask), spline(line(0, 2, -9, 3, 4), mask)
    assert torch.allclose(one[:, mask[0]], other[:, mask[0]], atol=1e-6)
    assert one[0, 2, 0] == 50
    few = seen(1, 0, 0, 1, 0)
    assert torch.equal(spline(line(0, 2, 50, 3, 4), few), line(0, 2, 50, 3, 4))


def test_moving_average_of_a_known_track() -> None:
    """Five taps in the middle, three beside the ends, one at them."""
    past = line(0, 3, 3, 9, 0, 6)
    expected = line(0, 2, 3, 21 / 5, 5, 6)
    assert torch.allclose(moving_average(past, seen(1, 1, 1, 1, 1, 1)), expected)


def test_moving_average_leaves_absent_frames_out() -> None:
    """The mean is over the frames that were seen."""
    result = moving_average(line(0, 3, 1000, 9, 0), seen(1, 1, 0, 1, 1))
    assert torch.allclose(result, line(0, 1.5, 1000, 4.5, 0))


@pytest.mark.parametrize("smooth_last", ["holt", "kalman"])
def test_a_jump_at_the_end_is_damped(smooth_last) -> None:
    """A last position 2 m off the line is pulled back, and earlier frames stay as the kernel left them."""
    past, all_seen, dt = line(0, 1, 2, 3, 6), seen(1, 1, 1, 1, 1), torch.tensor([0.5])
    result = smoothed(past, all_seen, dt, "mean3", smooth_last)
    assert 4.0 < result[0, -1, 0] < 5.9
    assert torch.equal(result[:, :-1], mean3(past, all_seen)[:, :-1])


def test_holt_of_a_known_track() -> None:
    """Level and trend after 0, 1, 4: 0.6 * 4 + 0.4 * 2 with the trend still 1."""
    assert torch.allclose(holt(line(0, 1, 4)), torch.tensor([[3.2, 0.0]]))


def test_kalman_trusts_a_slow_measurement_more() -> None:
    """More time between frames leaves more room to accelerate, so the last position counts more."""
    past = line(0, 1, 2, 5).repeat(2, 1, 1)
    last = kalman(past, torch.tensor([0.1, 1.0]))[:, 0]
    assert 3.0 < last[0] < last[1] < 5.0


def test_the_last_position_of_incomplete_tracks_stays() -> None:
    """Without a complete track the last position is not filtered."""
    mask = seen(1, 0, 1, 1, 1)
    result = smoothed(line(0, 9, 2, 3, 6), mask, torch.tensor([0.5]), "mean3", "kalman")
    assert result[0, -1, 0] == 6


@pytest.mark.parametrize("kernel", ["mean3", "spline"])
@pytest.mark.parametrize("smooth_last", ["keep", "holt", "kalman"])
def test_filters_have_exact_gradients(kernel, smooth_last) -> None:
    """Autograd agrees with finite differences, gaps included."""
    generator = torch.Generator().manual_seed(0)
    past = torch.randn(2, 5, 2, generator=generator, dtype=torch.float64).cumsum(dim=1).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1]]).bool()
    dt = torch.full((2,), 0.5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: smoothed(x, mask, dt, kernel, smooth_last), past)
