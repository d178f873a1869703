"""The detector's statistics are hand-computed, its false-alarm rate holds on new clean tracks."""

import pytest
import torch

from robeval.domains.trajectory.detector import (
    Detector,
    cusum_statistic,
    mean_step,
    svm_features,
    variance_statistic,
)
from robeval.errors import DataError, OptionError
from robeval.seeding import Seed


def drives(count: int, name: str, noise_m: float = 0.03, frames: int = 9) -> torch.Tensor:
    """Straight drives at 1 to 16 m/s, 2 Hz, seen with position noise."""
    draw = Seed(7).draws([f"{name}{i}" for i in range(count)])
    step = draw.uniform(1, low=0.5, high=8.0)
    angle = draw.uniform(1, low=0.0, high=6.28)
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    along = torch.arange(frames).float().view(1, -1, 1) * step.unsqueeze(-1) * direction
    return along + draw.normal(frames, 2, std=noise_m)


def jitter(tracks: torch.Tensor, size_m: float) -> torch.Tensor:
    """The same drives with an alternating sideways push."""
    sign = torch.tensor([1.0, -1.0]).repeat(tracks.shape[1])[: tracks.shape[1]]
    return tracks + size_m * sign.view(1, -1, 1)


def test_variance_of_a_known_track() -> None:
    """Steps 1, 2, 1 have accelerations +1, -1: variance sum 2 over speed sum 6."""
    track = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    assert variance_statistic(track).item() == pytest.approx(2 / 6)


def test_variance_of_steady_and_standing_tracks_is_zero() -> None:
    """Constant speed, constant acceleration and standing still are perfectly smooth."""
    time = torch.arange(6.0)
    tracks = torch.stack([3 * time, time**2, torch.zeros(6)])
    track = torch.stack([tracks, torch.zeros_like(tracks)], dim=-1)
    assert variance_statistic(track).abs().max() < 1e-6


def test_cusum_of_a_known_track() -> None:
    """Longitudinal accelerations 1, -1, 1 flip twice by 2, each less the slack 0.36."""
    track = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    expected = 2 * (2 - 0.36)
    assert cusum_statistic(track, scales=(1.0, 1.0)).item() == pytest.approx(expected, abs=0.01)


def test_cusum_ignores_accelerations_that_keep_their_sign() -> None:
    """Braking harder and harder is no reversal."""
    track = torch.stack([10 * torch.arange(6.0) - torch.arange(6.0) ** 3 / 9, torch.zeros(6)], dim=-1)
    assert cusum_statistic(track).item() == 0.0


def test_cusum_sees_sideways_reversals() -> None:
    """A zigzag at constant forward speed alarms on the lateral part only."""
    zigzag = jitter(torch.stack([5 * torch.arange(6.0), torch.zeros(6)], dim=-1).unsqueeze(0), 0.0)
    zigzag[0, :, 1] = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0, 0.5])
    assert cusum_statistic(zigzag).item() > 0.15


@pytest.mark.parametrize("statistic", [variance_statistic, cusum_statistic])
def test_statistics_ignore_where_and_which_way(statistic) -> None:
    """Shifting and turning the frame changes neither statistic."""
    tracks = jitter(drives(16, "turn"), 0.4).double()
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    assert torch.allclose(statistic(tracks), statistic(tracks @ turn.T + 100.0), rtol=1e-6, atol=1e-9)


def test_too_short_a_track_is_refused() -> None:
    """Two frames have no acceleration and the error says so."""
    with pytest.raises(DataError, match="at least 3 frames"):
        variance_statistic(torch.zeros(4, 2, 2))


@pytest.mark.parametrize(
    ("kind", "two_sided"), [("variance", False), ("variance", True), ("cusum", False), ("svm", False)]
)
def test_false_alarm_rate_holds_on_new_clean_tracks(kind, two_sided) -> None:
    """Calibrated at 5 %, between 2 % and 8 % of unseen clean tracks alarm, in every speed class."""
    clean = drives(3000, "calibration")
    detector = Detector.calibrated(clean, 0.05, kind, two_sided=two_sided, suspicious=jitter(clean, 0.3))
    unseen = drives(3000, "unseen")
    alarms = detector.fires(unseen)
    speed = torch.bucketize(mean_step(unseen).double(), detector.edges)
    for number in range(3):
        assert 0.02 < alarms[speed == number].float().mean().item() < 0.08


@pytest.mark.parametrize("kind", ["variance", "cusum", "svm"])
def test_jitter_alarms_at_every_speed(kind) -> None:
    """A 0.4 m zigzag is caught in most tracks of each speed class, fast ones included."""
    clean = drives(1500, "calibration")
    detector = Detector.calibrated(clean, 0.05, kind, suspicious=jitter(clean, 0.3))
    shaken = jitter(drives(600, "shaken"), 0.4)
    speed = torch.bucketize(mean_step(shaken).double(), detector.edges)
    for number in range(3):
        assert detector.fires(shaken)[speed == number].float().mean() > 0.7


def test_one_global_threshold_misses_fast_jitter() -> None:
    """The published constant, the reason for speed classes, is blind to jitter at high speed."""
    shaken = jitter(drives(600, "shaken"), 0.1)
    fast = mean_step(shaken) > 5
    assert Detector.published().fires(shaken)[fast].float().mean() < 0.05
    calibrated = Detector.calibrated(drives(1500, "calibration"))
    assert calibrated.fires(shaken)[fast].float().mean() > 0.5


def test_two_sided_catches_the_too_smooth() -> None:
    """Perfectly steady tracks alarm with two sides and pass with one."""
    clean, steady = drives(1500, "calibration"), drives(200, "steady", noise_m=0.0)
    assert Detector.calibrated(clean, two_sided=True).fires(steady).all()
    assert not Detector.calibrated(clean).fires(steady).any()


@pytest.mark.parametrize("kind", ["variance", "cusum", "svm"])
def test_suspicion_agrees_with_alarms_and_has_a_slope(kind) -> None:
    """Suspicion is positive exactly where the alarm is, and differentiable at jittery tracks."""
    clean = drives(1000, "calibration")
    detector = Detector.calibrated(clean, 0.05, kind, suspicious=jitter(clean, 0.3))
    tracks = jitter(drives(64, "mixed"), 0.25).requires_grad_()
    suspicion = detector.suspicion(tracks)
    assert torch.equal(suspicion > 0, detector.fires(tracks))
    (slope,) = torch.autograd.grad(suspicion.sum(), tracks)
    assert slope.isfinite().all()
    assert (slope.flatten(1).abs().sum(1) > 0).all()


def test_a_track_does_not_depend_on_its_neighbours() -> None:
    """Suspicion row by row equals suspicion in a batch."""
    detector = Detector.calibrated(drives(500, "calibration"))
    tracks = jitter(drives(20, "mixed"), 0.2)
    alone = torch.cat([detector.suspicion(tracks[i : i + 1]) for i in range(20)])
    assert torch.allclose(alone, detector.suspicion(tracks), atol=1e-5)


def test_incomplete_tracks_are_not_judged() -> None:
    """A missing frame never alarms, and incomplete tracks do not enter the calibration."""
    clean = drives(500, "calibration")
    present = torch.ones(clean.shape[:2], dtype=torch.bool)
    present[:100, 3] = False
    spoilt = clean.clone()
    spoilt[:100, 3] = 0.0
    detector = Detector.calibrated(spoilt, present=present)
    reference = Detector.calibrated(clean[100:])
    assert torch.equal(detector.high, reference.high)
    assert detector.fires(spoilt[:100]).float().mean() > 0.5
    assert not detector.fires(spoilt[:100], present[:100]).any()


def test_too_few_tracks_never_alarm() -> None:
    """With ten tracks no threshold can promise 5 %, so the detector stays silent and finite."""
    detector = Detector.calibrated(drives(10, "few"))
    shaken = jitter(drives(50, "shaken"), 2.0)
    assert not detector.fires(shaken).any()
    assert detector.suspicion(shaken).isfinite().all()


def test_standing_and_short_tracks_give_finite_values_and_slopes() -> None:
    """Exactly standing tracks, and tracks of three frames, are finite for every statistic."""
    for frames in (3, 6):
        still = torch.zeros(2, frames, 2, requires_grad=True)
        value = svm_features(still)
        (slope,) = torch.autograd.grad(value.sum(), still)
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_bad_calibrations_are_refused() -> None:
    """No tracks, an impossible rate and an untaught SVM are usage errors."""
    with pytest.raises(OptionError, match="0 complete clean tracks"):
        Detector.calibrated(torch.zeros(0, 5, 2))
    with pytest.raises(OptionError, match=r"rate of 1\.5"):
        Detector.calibrated(drives(10, "few"), rate=1.5)
    with pytest.raises(OptionError, match="suspicious"):
        Detector.calibrated(drives(10, "few"), kind="svm")
