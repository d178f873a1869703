"""Curvature of sampled tracks."""

import math

import pytest
import torch

from robeval.domains.trajectory.curvature import dense_curvature, menger_curvature


def arc(radius_m: float, step_rad: float, points: int) -> torch.Tensor:
    """Points on a circle around the origin."""
    angle = torch.arange(points, dtype=torch.float64) * step_rad
    return radius_m * torch.stack([angle.cos(), angle.sin()], dim=-1)


@pytest.mark.parametrize("radius_m", [2.0, 25.0, 300.0])
def test_points_on_a_circle_read_its_radius(radius_m: float) -> None:
    """Three points on a circle of radius R have curvature 1/R, whatever their spacing."""
    curvature = menger_curvature(arc(radius_m, 0.4, 6))
    torch.testing.assert_close(curvature, torch.full((4,), 1 / radius_m, dtype=torch.float64))


def test_a_straight_track_has_none() -> None:
    """Equal steps along a line have curvature 0."""
    track = torch.arange(5.0)[:, None] * torch.tensor([1.0, 2.0])
    torch.testing.assert_close(menger_curvature(track), torch.zeros(3), atol=1e-6, rtol=0)


def test_a_right_angle_by_hand() -> None:
    """The circle through (0,0), (1,0), (1,1) has the half diagonal as its radius."""
    track = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(menger_curvature(track), torch.tensor([math.sqrt(2)]))


def test_short_steps_are_left_out() -> None:
    """A step below 0.3 m says nothing about the turn before or behind it."""
    track = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.1, 0.1], [2.0, 0.5], [3.0, 1.0]])
    assert menger_curvature(track).isnan().tolist() == [True, True, False]
    assert not menger_curvature(track, min_chord_m=0.1).isnan().any()


def test_driving_back_is_not_straight() -> None:
    """There and back on one line counts as half a turn over the mean step."""
    there_and_back = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    exactly_back = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    both = menger_curvature(torch.stack([there_and_back, exactly_back]))
    torch.testing.assert_close(both, torch.tensor([[math.pi / 1.5], [math.pi / 2]]))


def test_unknown_positions_stay_unknown_and_touch_nobody_else() -> None:
    """NaN in one track gives NaN there and leaves the other rows alone."""
    tracks = arc(10, 0.3, 5).repeat(2, 3, 1, 1)
    tracks[0, 1, 2] = float("nan")
    curvature = menger_curvature(tracks)
    assert curvature.shape == (2, 3, 3)
    assert curvature[0, 1].isnan().all()
    assert curvature.isnan().sum() == 3


def test_a_dense_path_reads_the_same_circle() -> None:
    """A path sampled every 5 cm reads 1/R although its steps are shorter than a usable chord."""
    path = arc(5.0, 0.01, 60)
    curvature = dense_curvature(path, 0.05)
    assert curvature.shape == (60 - 12,)
    torch.testing.assert_close(curvature, torch.full_like(curvature, 0.2))
    assert menger_curvature(path).isnan().all()


def test_a_path_shorter_than_two_chords_has_no_turn() -> None:
    """Too few points give an empty answer rather than an error."""
    assert dense_curvature(arc(5.0, 0.01, 4), 0.05).shape == (0,)


def test_padding_of_a_dense_path_is_nan() -> None:
    """NaN points behind a short path give NaN, the points before them a value."""
    path = arc(5.0, 0.01, 40)
    path[30:] = float("nan")
    curvature = dense_curvature(path, 0.05)
    assert curvature[: 30 - 12].isfinite().all()
    assert curvature[30 - 12 :].isnan().all()
