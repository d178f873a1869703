"""The median over noisy copies: repeatable, fresh for each query, exact in its limits."""

import pytest
import torch

from robeval.domains.trajectory.domain import Trajectory
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_defenses.trajectory.randomised_smoothing import RandomisedSmoothing

KINDS = ["positions", "position_matched", "control_matched"]


@pytest.mark.parametrize("noise", KINDS)
def test_without_noise_it_is_the_undefended_victim(scenes, tiny, data, noise) -> None:
    """As sigma goes to zero the median of all copies is the victim's own answer."""
    batch = scenes(10)
    hardened = RandomisedSmoothing(sigma_m=1e-7, noise=noise).harden(tiny.eval(), data, Seed(0))
    assert torch.allclose(hardened(batch).paths, tiny(batch).paths, atol=1e-4)


@pytest.mark.parametrize("noise", KINDS)
def test_noise_belongs_to_the_example(scenes, tiny, data, noise) -> None:
    """The same answer twice, alone or in a batch, under any order."""
    batch = scenes(6, windows=2)
    hardened = RandomisedSmoothing(noise=noise).harden(tiny.eval(), data, Seed(0))
    whole = hardened(batch).paths
    assert torch.equal(whole, hardened(batch).paths)
    assert torch.allclose(whole[[4, 1]], hardened(batch.select([4, 1])).paths, atol=1e-4)


def test_an_attacker_meets_fresh_noise_and_is_judged_under_its_own(scenes, tiny, data) -> None:
    """Every query through a view differs; afterwards the evaluation's round is back."""
    batch = scenes(4)
    hardened = RandomisedSmoothing().harden(tiny.eval(), data, Seed(0))
    judged = hardened(batch).paths
    view = View(hardened, Trajectory(), ThreatModel("score", Budget("deviation", "m", 1.0)), batch.ids)
    with under_attack(hardened):
        first, second = view(batch).paths, view(batch).paths
    assert not torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(first, judged, atol=1e-3)
    assert torch.equal(hardened(batch).paths, judged)


def test_other_seeds_draw_other_noise(scenes, tiny, data) -> None:
    """The defense's seed decides the noise."""
    batch = scenes(4)
    one, other = (RandomisedSmoothing().harden(tiny.eval(), data, Seed(s))(batch).paths for s in (0, 1))
    assert not torch.allclose(one, other, atol=1e-3)


def test_the_median_of_a_linear_victim_is_its_clean_answer(scenes, steady, data) -> None:
    """With many copies the noise cancels, and more copies cancel more."""
    batch = scenes(40)
    clean = steady(batch).paths

    def distance(samples: int) -> float:
        hardened = RandomisedSmoothing(samples=samples).harden(steady, data, Seed(0))
        return float((hardened(batch).paths - clean).norm(dim=-1).mean())

    assert distance(401) < 0.25 < distance(9) < distance(1)


def test_only_the_target_is_noisy(scenes, steady, data) -> None:
    """Neighbours reach the victim as they are, one copy after the other."""
    heard = []

    class Listening(type(steady)):
        def predict(self, seen):
            heard.append(seen)
            return super().predict(seen)

    seen = scenes(3).observation()
    RandomisedSmoothing(samples=5).harden(Listening(), data, Seed(0)).predict(seen)
    (copies,) = heard
    assert copies.ids == tuple(name for name in seen.ids for _ in range(5))
    assert torch.equal(copies.past[:, 1:], seen.past[:, 1:].repeat_interleave(5, 0))
    assert (copies.past[:, 0] != seen.past[:, 0].repeat_interleave(5, 0)).all()


def test_the_denoiser_calms_each_copy(scenes, steady, data) -> None:
    """A moving average takes out part of the noise in front of the victim."""
    batch = scenes(60, history=8)
    clean = steady(batch).paths
    spread = {}
    for denoiser in ("none", "moving_average"):
        hardened = RandomisedSmoothing(samples=1, denoiser=denoiser).harden(steady, data, Seed(0))
        spread[denoiser] = (hardened(batch).paths - clean).norm(dim=-1).mean()
    assert spread["moving_average"] < 0.9 * spread["none"]


def test_the_gradient_is_that_of_the_median(scenes, steady, data) -> None:
    """Finite differences under the same noise agree with autograd."""
    batch = scenes(2)
    seen = batch.observation()
    hardened = RandomisedSmoothing(samples=5).harden(steady, data, Seed(0))
    past = seen.past.double().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: hardened.predict(seen.replace(past=x)).paths, past)


def test_the_answer_has_one_certain_mode_in_the_input_dtype(scenes, steady, data) -> None:
    """Shapes, probability and precision are as a victim's."""
    batch = scenes(3, windows=2)
    answer = RandomisedSmoothing().harden(steady, data, Seed(0))(batch.replace(track=batch.track.double()))
    assert answer.paths.shape == (3, 2, 1, 6, 2)
    assert answer.paths.dtype == torch.float64
    assert (answer.probability == 1).all()
