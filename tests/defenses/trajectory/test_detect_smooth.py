"""Detect-then-smooth is the undefended victim below the threshold and the smoothed one above it."""

import math

import pytest
import torch

from robeval.domains.trajectory.detector import Detector
from robeval.errors import OptionError
from robeval.seeding import Seed
from robeval_defenses.trajectory.detect_smooth import DetectSmooth, SwitchedSmoothing
from robeval_defenses.trajectory.smoothing import Smoothed


def threshold(level: float) -> Detector:
    """A variance detector with one threshold for the logarithm of the statistic."""
    return Detector("variance", (1.0, 1.0), torch.zeros(0), torch.tensor([level]), torch.tensor([-math.inf]))


def shaken(batch, size_m: float = 0.4):
    """The scenes with a zigzag in the target's history."""
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, -1, 1).expand(len(batch), 4, 2)
    return batch.moved(size_m * sign)


def test_an_infinite_threshold_is_no_defense(scenes, steady) -> None:
    """Nothing alarms, so the answers equal the undefended ones bit for bit."""
    batch = shaken(scenes(20))
    assert torch.equal(SwitchedSmoothing(steady, threshold(math.inf))(batch).paths, steady(batch).paths)


def test_a_threshold_below_everything_is_plain_smoothing(scenes, steady) -> None:
    """Everything alarms, so the answers equal those of test-time smoothing."""
    batch = scenes(20)
    assert torch.equal(
        SwitchedSmoothing(steady, threshold(-99.0))(batch).paths, Smoothed(steady)(batch).paths
    )


@pytest.mark.parametrize("detector", ["variance", "cusum", "svm"])
def test_clean_scenes_pass_and_shaken_ones_are_smoothed(scenes, tiny, data, detector) -> None:
    """About 5 % of unseen clean scenes alarm, most shaken ones do, and only alarmed rows change."""
    hardened = DetectSmooth(detector=detector).harden(tiny.eval(), data, Seed(0))
    clean = scenes(400, "unseen")
    rate = hardened.alarms(clean.observation()).float().mean().item()
    assert rate < 0.09
    attacked = shaken(clean)
    alarms = hardened.alarms(attacked.observation())
    assert alarms.float().mean() > 0.7
    with torch.no_grad():
        answer, plain, smooth = hardened(attacked), tiny(attacked), Smoothed(tiny)(attacked)
    assert torch.allclose(answer.paths[alarms], smooth.paths[alarms], atol=1e-5)
    assert torch.allclose(answer.paths[~alarms], plain.paths[~alarms], atol=1e-5)


def test_calibration_is_repeatable(tiny, data) -> None:
    """The same seed gives the same thresholds, for the learned detector too."""
    first, second = (DetectSmooth(detector="svm").harden(tiny, data, Seed(4)) for _ in range(2))
    assert torch.equal(first.detector.high, second.detector.high)
    assert torch.equal(first.detector.weight, second.detector.weight)


def test_hardening_leaves_the_victim_as_it_was(tiny, data) -> None:
    """Teaching the SVM with attacked tracks changes neither weights nor mode nor gradients."""
    tiny.eval()
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    DetectSmooth(detector="svm").harden(tiny, data, Seed(0))
    assert not tiny.training
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert all(parameter.grad is None for parameter in tiny.parameters())


def test_incomplete_histories_are_not_smoothed(scenes, steady) -> None:
    """A target with a missing frame cannot be judged, so it passes unchanged."""
    batch = shaken(scenes(4))
    batch.present[:, 0, 1] = False
    hardened = SwitchedSmoothing(steady, threshold(-99.0))
    assert not hardened.alarms(batch.observation()).any()
    assert torch.equal(hardened(batch).paths, steady(batch).paths)


def test_gradients_exist_on_both_sides_and_suspicion_has_its_own(scenes, tiny, data) -> None:
    """Each row's gradient is that of the branch it takes; suspicion can be lowered by gradient."""
    hardened = DetectSmooth().harden(tiny.eval(), data, Seed(0))
    batch = shaken(scenes(64), 0.02)
    seen = batch.observation()
    past = seen.past.clone().requires_grad_()
    live = seen.replace(past=past)
    (slope,) = torch.autograd.grad(hardened.predict(live).paths.sum(), past)
    (plain,) = torch.autograd.grad(tiny.predict(live).paths.sum(), past)
    alarms = hardened.alarms(seen)
    assert 0 < alarms.sum() < len(alarms)
    assert torch.allclose(slope[~alarms], plain[~alarms], atol=1e-5)
    assert not torch.allclose(slope[alarms], plain[alarms], atol=1e-3)
    (push,) = torch.autograd.grad(hardened.suspicion(live).sum(), past)
    assert (push[:, 0].flatten(1).abs().sum(1) > 0).all()


def test_two_sides_catch_the_too_smooth(scenes, steady, data) -> None:
    """A perfectly steady history alarms with two sides only."""
    batch = scenes(8)
    still = torch.arange(4.0).view(1, 4, 1) * torch.tensor([3.0, 1.0])
    batch.track[:, 0, :4] = still
    one = DetectSmooth(false_alarms=0.2).harden(steady, data, Seed(0))
    two = DetectSmooth(false_alarms=0.2, two_sided=True).harden(steady, data, Seed(0))
    assert not one.alarms(batch.observation()).any()
    assert two.alarms(batch.observation()).all()


def test_an_svm_has_one_side() -> None:
    """The combination is refused when the options are given, with the way out."""
    with pytest.raises(OptionError, match="two_sided"):
        DetectSmooth(detector="svm", two_sided=True)
