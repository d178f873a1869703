"""Per-frame kinematics, their limits, and the projection against a scan in plain Python."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.kinematics import (
    PUBLISHED_LIMITS,
    allowed,
    corridor,
    excess,
    limits_from_si,
    limits_from_tracks,
    magnitudes,
    project,
    settle,
)

LIMITS = PUBLISHED_LIMITS["nuscenes"]


def by_hand(track: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The five magnitudes, frame by frame."""
    frames = len(track)
    result = np.zeros((5, frames - 1))
    for k in range(frames - 1):
        if not present[k : k + 2].all():
            continue
        v = track[k + 1] - track[k]
        speed = math.hypot(*v)
        along = v / (speed + 0.001)
        across = np.array([along[1], -along[0]])
        result[0, k] = speed
        if k + 2 < frames and present[k : k + 3].all():
            a = track[k + 2] - 2 * track[k + 1] + track[k]
            result[1, k], result[2, k] = abs(along @ a), abs(across @ a)
        if k + 3 < frames and present[k : k + 4].all():
            j = track[k + 3] - 3 * track[k + 2] + 3 * track[k + 1] - track[k]
            result[3, k], result[4, k] = abs(along @ j), abs(across @ j)
    return result


def scanned(offset: np.ndarray, clean: np.ndarray, present: np.ndarray, limits: tuple, cap: float) -> float:
    """The largest feasible hundredth, tried one after the other."""
    bound = np.maximum(np.array(limits)[:, None], by_hand(clean, present)) * (1 + 0.5e-4)
    for hundredths in range(100, 0, -1):
        scale = hundredths / 100
        track = clean.copy()
        track[: len(offset)] += scale * offset
        near = scale * np.sqrt((offset**2).sum(1)).max() <= cap
        if near and (by_hand(track, present) <= bound).all():
            return scale
    return 0.0


def tracks(count: int, frames: int = 12, seed: int = 0) -> Tensor:
    """Curved tracks of 1 to 14 m/s at 0.5 s with 3 cm noise, in double."""
    draw = torch.Generator().manual_seed(seed)
    speed = torch.linspace(0.5, 7, count).double().unsqueeze(1)
    turn = (torch.rand(count, 1, generator=draw).double() - 0.5) * 0.1
    angle = turn * torch.arange(frames)
    step = speed.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], dim=-1)
    return step.cumsum(dim=1) + 0.03 * torch.randn(count, frames, 2, generator=draw).double()


def offsets(count: int, attacked: int = 4, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    size = torch.linspace(0.05, 2, count).double().view(-1, 1, 1)
    return size * (2 * torch.rand(count, attacked, 2, generator=draw).double() - 1)


def test_magnitudes_equal_the_formulas_frame_by_frame() -> None:
    """All five magnitudes, also around missing frames, are those of the definition."""
    track = tracks(6)
    present = torch.ones(6, 12, dtype=torch.bool)
    present[1, 5] = present[2, 11] = present[3, 0] = False
    got = magnitudes(track, present)
    for row in range(6):
        expected = by_hand(track[row].numpy(), present[row].numpy())
        assert np.allclose(got[row].numpy(), expected, atol=1e-12)


def test_magnitudes_of_steady_braking() -> None:
    """Steps of 3, 2 and 1 m mean an acceleration of -1 m along, none across, and no jerk."""
    track = torch.tensor([[0.0, 0], [3, 0], [5, 0], [6, 0]]).double()
    speed, along, across, jerk_along, jerk_across = magnitudes(track)
    assert speed.tolist() == [3, 2, 1]
    assert along[:2].tolist() == pytest.approx([3 / 3.001, 2 / 2.001])
    assert across.abs().max() == jerk_along.abs().max() == jerk_across.abs().max() == 0


def test_a_limit_is_the_bound_or_the_clean_value() -> None:
    """A noisy clean track is neither blocked by its own excess nor excused in other frames."""
    track = torch.tensor([[[0.0, 0], [20, 0], [21, 0], [22, 0]]]).double()
    limit = allowed(track, torch.tensor([LIMITS]).double())[0]
    assert limit[0].tolist() == [20, pytest.approx(8.599), pytest.approx(8.599)]
    assert excess(track, track, torch.tensor([LIMITS]).double()).item() == pytest.approx(1)


@pytest.mark.parametrize("attacked", [1, 4, 9])
@pytest.mark.parametrize("limits", [LIMITS, PUBLISHED_LIMITS["apolloscape"]])
def test_projection_equals_a_scan_in_plain_python(attacked: int, limits: tuple) -> None:
    """Every row gets exactly the scale that trying 1.00, 0.99, ... one by one would end with."""
    clean, offset = tracks(24), offsets(24, attacked)
    present = torch.ones(24, 12, dtype=torch.bool)
    present[3, 10:] = present[4, 11] = False
    found = project(offset, clean, torch.tensor([limits]).double().expand(24, 5), 1.0, present)
    expected = [
        scanned(o.numpy(), c.numpy(), p.numpy(), limits, 1.0)
        for o, c, p in zip(offset, clean, present, strict=True)
    ]
    assert found.scale.tolist() == pytest.approx(expected, abs=1e-12)
    assert len(set(expected)) > 5
    assert torch.equal(found.offset, found.scale.view(-1, 1, 1) * offset)
    assert torch.equal(found.feasible, found.scale > 0)


def test_single_precision_finds_the_same_scales() -> None:
    """At road-scene distances float32 decides like float64, to within one hundredth."""
    clean, offset = (tracks(64) + 90).float().double(), offsets(64).float().double()
    limits = torch.tensor([LIMITS]).expand(64, 5)
    exact = project(offset, clean, limits.double(), 1.0).scale
    single = project(offset.float(), clean.float(), limits, 1.0).scale
    assert (exact - single).abs().max() < 0.0101
    assert ((exact - single).abs() < 1e-5).float().mean() > 0.9


def test_projection_takes_the_cap_of_each_row() -> None:
    """Without kinematic limits the scale is the cap over the longest displacement, rounded down."""
    offset = torch.zeros(3, 4, 2).double()
    offset[:, 2, 0] = 2.0
    cap = torch.tensor([0.0, 0.5, 1.91]).double()
    found = project(offset, tracks(3), torch.full((3, 5), 1e6).double(), cap)
    assert found.scale.tolist() == pytest.approx([0, 0.25, 0.95])


def test_projection_of_nothing_is_nothing() -> None:
    """A zero displacement is feasible at full scale, also of a track that breaks its bounds."""
    clean = tracks(4) * 5
    found = project(torch.zeros(4, 4, 2).double(), clean, torch.tensor([LIMITS]).double().expand(4, 5), 1.0)
    assert found.scale.tolist() == [1, 1, 1, 1]


def test_the_gradient_takes_the_scale_as_a_constant() -> None:
    """The slope of the sum of a projected displacement is the scale itself."""
    offset = offsets(8).requires_grad_()
    found = project(offset, tracks(8), torch.tensor([LIMITS]).double().expand(8, 5), 1.0)
    (slope,) = torch.autograd.grad(found.offset.sum(), offset)
    assert torch.equal(slope, found.scale.view(-1, 1, 1).expand_as(offset))


@pytest.mark.parametrize("attacked", [0, 12, 13])
def test_a_corridor_needs_attacked_frames_and_a_tail(attacked: int) -> None:
    """No attacked frame, or none behind them, is an error that says how many there were."""
    with pytest.raises(ValueError, match=f"{attacked} attacked frames of 12"):
        corridor(tracks(2), torch.tensor([LIMITS]).double().expand(2, 5), 1.0, attacked)


def test_settling_repairs_rounding_far_from_the_origin() -> None:
    """At 4 km from the origin float32 rounds by 0.2 mm; a settled displacement is in bounds as stored."""
    clean = (tracks(48) + 4000).float()
    limits = torch.tensor([LIMITS]).expand(48, 5)
    offset = project(offsets(48).float(), clean, limits, 1.0).offset

    def share(value: Tensor) -> Tensor:
        stored = clean + torch.nn.functional.pad(value, (0, 0, 0, 8))
        return excess(stored.double(), clean.double(), limits.double())

    assert (share(offset) > 1 + 1e-4).any()
    settled = settle(offset, clean, limits, 1.0)
    assert (share(settled) <= 1 + 1e-4).all()
    fine = share(offset) <= 1 + 1e-4
    assert torch.equal(settled[fine], offset[fine])


def test_bounds_from_data_are_mean_plus_three_deviations() -> None:
    """Speeds 1, 2 and 3 without turning: 2 + 3 * sqrt(2/3); accelerations of 1 or 0 count around zero."""
    track = torch.tensor([[[0.0, 0], [1, 0], [3, 0], [6, 0]]]).double()
    bounds = limits_from_tracks(track, torch.ones(1, 4, dtype=torch.bool))
    assert bounds[0] == pytest.approx(2 + 3 * math.sqrt(2 / 3))
    assert bounds[1] == pytest.approx(3 * math.sqrt(((1 / 1.001) ** 2 + (2 / 2.001) ** 2) / 2))
    assert bounds[2] == bounds[3] == bounds[4] == 0


def test_si_bounds_are_scaled_by_powers_of_the_time_step() -> None:
    """17.2 m/s and 5.1 m/s² are 8.6 m and 1.275 m per frame of 0.5 s."""
    per_frame = limits_from_si(17.2, 5.1, 1.87, 15.7, 4.28, 0.5)
    assert per_frame == pytest.approx((8.6, 1.275, 0.4675, 1.9625, 0.535))
