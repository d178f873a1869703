"""The certificate's quantiles are exact where a formula exists, and hold against brute force."""

import math

import pytest
import torch
from scipy.stats import binom, norm

from robeval.plugins.contracts import Certifies
from robeval.seeding import Seed
from robeval_defenses.trajectory.certificate import Levels, levels, quantile_bounds, worst_distance
from robeval_defenses.trajectory.randomised_smoothing import RandomisedSmoothing


def test_levels_of_the_exact_median() -> None:
    """Radius over sigma of 0.4 moves the median to the quantiles Phi(-0.4) and Phi(0.4)."""
    assert levels(0.1, 0.25) == pytest.approx(Levels(norm.cdf(-0.4), norm.cdf(0.4)))
    assert levels(0.0, 0.25) == pytest.approx(Levels(0.5, 0.5))


def test_levels_of_a_deployed_median_cover_its_sampling() -> None:
    """With radius 0, the median of 9 copies leaves its levels with exactly the stated probability."""
    low, high = levels(0.0, 1.0, deployed=(9, 0.01))
    # The 5th of 9 is below the low quantile when 5 or more copies are.
    assert binom.sf(4, 9, low) == pytest.approx(0.01)
    assert binom.cdf(4, 9, high) == pytest.approx(0.01)


def test_quantile_bounds_fail_as_rarely_as_promised() -> None:
    """The bound is on the wrong side of the true quantile in at most the stated share of repetitions."""
    draw = Seed(0).draws([str(number) for number in range(4000)])
    values = draw.normal(100, 1, 2)
    low, high = quantile_bounds(values, Levels(0.3, 0.7), risk=0.05)
    for wrong in (low > norm.ppf(0.3), high < norm.ppf(0.7)):
        assert 0.01 < wrong.float().mean().item() <= 0.055


def test_too_few_copies_prove_nothing() -> None:
    """Ten copies cannot bound a 1 % quantile: the bounds are infinite."""
    low, high = quantile_bounds(torch.randn(2, 10, 3, 2), Levels(0.01, 0.99), risk=1e-3)
    assert (low == -math.inf).all()
    assert (high == math.inf).all()


def test_the_farthest_point_of_a_box_is_a_corner() -> None:
    """From (0, 0) the box [-1, 2] x [3, 4] reaches to (2, 4)."""
    low, high = torch.tensor([-1.0, 3.0]), torch.tensor([2.0, 4.0])
    assert worst_distance(low, high, torch.zeros(2)).item() == pytest.approx(math.hypot(2, 4))


def test_the_box_of_a_linear_victim_has_the_known_size(scenes, steady, data) -> None:
    """Constant velocity at step t moves by sqrt((1+t)² + t²) times the radius, and spreads alike."""
    options = RandomisedSmoothing(
        guarantee="limit", certificate_samples=8000, sigma_m=0.25, certificate_radius_m=0.1, confidence=0.9
    )
    batch = scenes(1)
    low, high = options.harden(steady, data, Seed(0))._box(batch.observation(), 1)
    t = torch.arange(1.0, 7.0).unsqueeze(-1)
    gain = ((1 + t).square() + t.square()).sqrt().expand(6, 2)
    exact = steady(batch).paths[0, 0, 0]
    # Not tighter than the truth, and at most 35 % wider with 8 000 copies.
    for reach in ((high[0] - exact) / gain, (exact - low[0]) / gain):
        assert (reach >= 0.1).all()
        assert (reach <= 0.135).all()


@pytest.mark.parametrize(("guarantee", "samples"), [("deployed", 9), ("limit", 2001)])
def test_no_change_within_the_radius_leaves_the_box(scenes, tiny, data, guarantee, samples) -> None:
    """Random changes and a jolt of the last frame stay inside, coordinate by coordinate."""
    options = RandomisedSmoothing(
        samples=samples, guarantee=guarantee, certificate_samples=2048, sigma_m=0.25
    )
    hardened = options.harden(tiny.eval(), data, Seed(0))
    batch = scenes(4)
    trials = 40 if samples < 100 else 8
    seen = batch.observation().repeat(trials)
    with torch.no_grad():
        low, high = hardened._box(batch.observation(), 1)
        change = Seed(1).draws([f"{n}" for n in range(len(seen))]).normal(4, 2)
        change = hardened.radius * change / change.flatten(1).norm(dim=1).view(-1, 1, 1)
        # Pushing the last frame against all others is what a predictor of displacements fears most.
        change[::2] = (
            torch.tensor([[-1.0, 0], [-1.0, 0], [-1.0, 0], [3.0, 0]]) / math.sqrt(12) * hardened.radius
        )
        hardened.noise.round = 5
        moved = hardened.predict(seen.with_target_past(seen.past[:, 0] + change)).paths[:, 0]
    low, high = low.repeat_interleave(trials, 0), high.repeat_interleave(trials, 0)
    assert ((moved >= low) & (moved <= high)).all()


def test_certify_is_the_worst_error_over_the_box(scenes, steady, data) -> None:
    """It is never below the error itself, grows with the radius, and is a finite Certifies."""
    batch = scenes(6, windows=2)
    small, large = (
        RandomisedSmoothing(certificate_radius_m=radius).harden(steady, data, Seed(0))
        for radius in (0.05, 0.2)
    )
    assert isinstance(small, Certifies)
    assert small.radius_budget.name == "l2_deviation"
    bound, looser = small.certify(batch), large.certify(batch)
    error = (small(batch).paths[:, :, 0] - batch.future()).norm(dim=-1)
    assert (bound["ade"] > error.mean(dim=(1, 2))).all()
    assert (bound["fde"] > error[..., -1].mean(dim=1)).all()
    for name in ("ade", "fde", "fbd", "abd"):
        assert bound[name].shape == (6,)
        assert (looser[name] > bound[name]).all()
    assert (bound["fbd"] > bound["abd"]).all()


def test_certificate_leaves_unknown_steps_out(scenes, steady, data) -> None:
    """Without the last step there is no final figure, and the mean is over the rest."""
    batch = scenes(2)
    batch.present[0, 0, -1] = False
    batch.track[0, 0, -1] = 1e6
    bound = RandomisedSmoothing(guarantee="limit").harden(steady, data, Seed(0)).certify(batch)
    assert bound["fde"].isnan().tolist() == [True, False]
    assert bound["fbd"].isnan().tolist() == [True, False]
    assert bound["ade"].max() < 100


def test_a_scene_certifies_the_same_alone(scenes, tiny, data) -> None:
    """The bound does not depend on the neighbours in the batch."""
    hardened = RandomisedSmoothing(certificate_samples=200).harden(tiny.eval(), data, Seed(0))
    batch = scenes(5)
    with torch.no_grad():
        whole, alone = hardened.certify(batch), hardened.certify(batch.select([3]))
    for name, value in whole.items():
        assert torch.allclose(value[3:4], alone[name], atol=1e-4)


def test_other_noise_proves_nothing(scenes, steady, data) -> None:
    """Noise on controls has no certificate: its figures do not apply."""
    bound = RandomisedSmoothing(noise="control_matched").harden(steady, data, Seed(0)).certify(scenes(3))
    assert all(value.isnan().all() for value in bound.values())
