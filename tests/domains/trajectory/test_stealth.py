"""What a driven track looks like, by hand and by symmetry."""

import math

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory import stealth

DT = torch.tensor([0.5])


def track(*points: tuple[float, float]) -> Tensor:
    """One track."""
    return torch.tensor([points], dtype=torch.float32)


def all_present(tracks: Tensor) -> Tensor:
    """Nothing is missing."""
    return torch.ones(tracks.shape[:2], dtype=torch.bool)


def bent(speed_m_s: float = 8.0, frames: int = 9) -> Tensor:
    """A bend that tightens while the speed falls: [1, frames, 2]."""
    time = torch.arange(frames) * 0.5
    way = speed_m_s * time - 0.3 * time**2
    angle = 0.002 * way**2
    step = torch.stack([angle.cos(), angle.sin()], dim=-1) * way.diff(prepend=way[:1]).unsqueeze(-1)
    return step.cumsum(dim=0).unsqueeze(0)


def turned(tracks: Tensor, angle: float) -> Tensor:
    """The tracks in a frame with another north."""
    a = torch.tensor(angle)
    return tracks @ torch.tensor([[a.cos(), a.sin()], [-a.sin(), a.cos()]])


def test_deviation_is_a_distance_in_the_plane() -> None:
    """The largest and the mean displacement of (3, 4), (0, 0) and (0, 1) are 5 m and 2 m."""
    offset = track((3, 4), (0, 0), (0, 1))
    value = stealth.deviation(offset, all_present(offset))
    assert (float(value.max), float(value.mean)) == (5.0, 2.0)


def test_deviation_of_absent_frames_does_not_count() -> None:
    """Nobody sees a displacement where nobody is; without any frame there is no deviation."""
    offset = track((3, 4), (0, 0), (0, 1))
    value = stealth.deviation(offset, torch.tensor([[False, True, True]]))
    assert (float(value.max), float(value.mean)) == (1.0, 0.5)
    value = stealth.deviation(offset, torch.tensor([[False, False, False]]))
    assert value.max.isnan()
    assert value.mean.isnan()


def test_braking_is_longitudinal() -> None:
    """Steps of 3, 2 and 1 m at 0.5 s are a deceleration of 4 m/s² with neither sideways part nor jerk."""
    value = stealth.dynamics(track((0, 0), (3, 0), (5, 0), (6, 0)), torch.ones(1, 4, dtype=torch.bool), DT)
    assert [float(part) for part in value] == pytest.approx([4.0, 0.0, 0.0])


def test_turning_at_speed_is_lateral() -> None:
    """On a circle of 25 m at 5 m/s the acceleration is 1 m/s², all of it sideways."""
    angle = torch.arange(5) * 0.1
    circle = 25 * torch.stack([angle.sin(), 1 - angle.cos()], dim=-1).unsqueeze(0)
    value = stealth.dynamics(circle, all_present(circle), DT)
    assert float(value.lateral_acceleration) == pytest.approx(1.0, rel=1e-2)
    assert float(value.longitudinal_acceleration) == pytest.approx(0.0, abs=1e-2)


def test_jerk_is_the_change_of_acceleration() -> None:
    """Accelerations of 0 and 4 m/s² half a second apart are a jerk of 8 m/s³."""
    value = stealth.dynamics(track((0, 0), (1, 0), (2, 0), (4, 0)), torch.ones(1, 4, dtype=torch.bool), DT)
    assert float(value.jerk) == pytest.approx(8.0)


def test_there_and_back_is_longitudinal() -> None:
    """A step of 1 m that is taken back half a second later is an acceleration of 8 m/s² along the way."""
    value = stealth.dynamics(track((0, 0), (1, 0), (0, 0)), torch.ones(1, 3, dtype=torch.bool), DT)
    assert float(value.longitudinal_acceleration) == pytest.approx(8.0)
    assert float(value.lateral_acceleration) == pytest.approx(0.0)
    assert value.jerk.isnan()


def test_a_gap_is_not_accelerated_across() -> None:
    """Derivatives that would need an absent frame are left out."""
    tracks = track((0, 0), (1, 0), (99, 99), (3, 0), (4, 0), (5, 0))
    present = torch.tensor([[True, True, False, True, True, True]])
    value = stealth.dynamics(tracks, present, DT)
    assert float(value.longitudinal_acceleration) == pytest.approx(0.0)
    assert value.jerk.isnan()


def test_half_the_time_step_is_four_times_the_acceleration() -> None:
    """The same positions at twice the frame rate have 4 times the acceleration and 8 times the jerk."""
    tracks = bent()
    slow, fast = (stealth.dynamics(tracks, all_present(tracks), dt) for dt in (DT, DT / 2))
    assert float(fast.lateral_acceleration / slow.lateral_acceleration) == pytest.approx(4.0)
    assert float(fast.jerk / slow.jerk) == pytest.approx(8.0)


def test_curvature_of_a_circle_is_its_inverse_radius() -> None:
    """Anywhere on a circle of 20 m the curvature is 0.05 1/m."""
    angle = torch.tensor([0.0, 0.1, 0.25, 0.3, 0.45])
    circle = 20 * torch.stack([angle.cos(), angle.sin()], dim=-1).unsqueeze(0)
    value = stealth.curvature(circle, all_present(circle))
    assert float(value.max) == pytest.approx(0.05, rel=1e-3)
    assert float(value.mean) == pytest.approx(0.05, rel=1e-3)


def test_crawling_has_no_curvature() -> None:
    """Steps below 0.3 m say nothing about curvature, and neither do absent frames."""
    crawl = track((0, 0), (0.2, 0), (0.2, 0.2), (0.4, 0.2))
    assert stealth.curvature(crawl, all_present(crawl)).max.isnan()
    gap = track((0, 0), (1, 0), (1, 1), (2, 1))
    assert stealth.curvature(gap, torch.tensor([[True, False, True, True]])).max.isnan()


def test_turning_adds_up_changes_of_heading() -> None:
    """East, north, west is two turns of 90 degrees; across south the short way round is taken."""
    value = stealth.turning(track((0, 0), (1, 0), (1, 1), (0, 1)), torch.ones(1, 4, dtype=torch.bool))
    assert (float(value.jump), float(value.variation)) == pytest.approx((90.0, 180.0))
    value = stealth.turning(track((0, 0), (-1, 0.1), (-2, 0)), torch.ones(1, 3, dtype=torch.bool))
    assert float(value.jump) == pytest.approx(2 * math.degrees(math.atan(0.1)), rel=1e-4)


def test_short_steps_keep_the_heading() -> None:
    """A jitter of 0.1 m between long steps turns nothing, and one long step alone has no turn."""
    value = stealth.turning(track((0, 0), (1, 0), (1, 0.1), (2, 0.1)), torch.ones(1, 4, dtype=torch.bool))
    assert (float(value.jump), float(value.variation)) == pytest.approx((0.0, 0.0))
    value = stealth.turning(track((0, 0), (1, 0), (1, 0.1)), torch.ones(1, 3, dtype=torch.bool))
    assert value.jump.isnan()
    assert value.variation.isnan()


def test_the_detector_fires_on_jitter_only() -> None:
    """A zig-zag raises the alarm, a steady track does not, an incomplete one cannot be told."""
    zigzag = track((0, 0), (0.5, 0.4), (1.0, -0.4), (1.5, 0.4))
    steady = track((0, 0), (5, 0), (10, 0), (15, 0))
    tracks = torch.cat([zigzag, steady, zigzag])
    present = all_present(tracks)
    present[2, 1] = False
    value = stealth.detected(tracks, present)
    assert value[:2].tolist() == [1.0, 0.0]
    assert value[2].isnan()


def test_two_frames_are_too_few_to_detect_anything() -> None:
    """With fewer than three frames the detector has no figure rather than no alarm."""
    assert stealth.detected(torch.zeros(2, 2, 2), torch.ones(2, 2, dtype=torch.bool)).isnan().all()


@pytest.mark.parametrize("angle", [0.4, 2.0, -1.5])
def test_a_turned_track_looks_the_same(angle: float) -> None:
    """Stealth does not depend on where north is, nor on left and right."""
    tracks = bent()
    present = all_present(tracks)
    for other in (turned(tracks, angle), tracks * torch.tensor([1.0, -1.0])):
        for here, there in (
            (stealth.dynamics(tracks, present, DT), stealth.dynamics(other, present, DT)),
            (stealth.curvature(tracks, present), stealth.curvature(other, present)),
            (stealth.turning(tracks, present), stealth.turning(other, present)),
        ):
            for mine, theirs in zip(here, there, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=1e-3)
