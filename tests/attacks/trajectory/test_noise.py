"""The random baseline."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.trajectory.victims.base import Predictor
from robeval.seeding import Seed
from robeval_attacks.trajectory.noise import Noise


@pytest.mark.parametrize("budget", [0.0, 0.25, 1.0])
def test_bounds_are_kept(
    run_attack: Any, roads_of: Any, worst_share_of: Callable, straight_victim: Predictor, budget: float
) -> None:
    """No frame moves farther than the budget, no kinematic limit is broken, and the victim is never asked."""
    done = run_attack(Noise(), straight_victim, roads_of(32, dtype=torch.float32, windows=3), budget)
    assert done.offset.norm(dim=-1).max() <= budget * (1 + 1e-4)
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert done.view.forward_rows == 0
    assert (done.offset != 0).any() == (budget > 0)


def test_the_scale_is_the_largest_feasible(
    run_attack: Any, roads_of: Any, straight_victim: Predictor
) -> None:
    """Without kinematic limits a displacement is as drawn, or within the grid's hundredth below the cap."""
    scenes = roads_of(64, limits=(1e3,) * 5)
    drawn = Seed(0).draws(scenes.ids).uniform(4, 2, low=-1.0, high=1.0, dtype=torch.float64)
    reach = drawn.norm(dim=-1).amax(dim=1)
    longest = run_attack(Noise(), straight_victim, scenes).offset.norm(dim=-1).amax(dim=1)
    assert torch.allclose(longest[reach <= 1], reach[reach <= 1])
    assert (longest[reach > 1] > 1 - 0.01 * reach[reach > 1] - 1e-9).all()
    assert (longest <= 1).all()
    assert ((reach <= 1).any(), (reach > 1).any()) == (True, True)


def test_examples_have_their_own_streams(run_attack: Any, roads_of: Any, straight_victim: Predictor) -> None:
    """A scene is displaced alone as among others; another seed displaces it differently."""
    scenes = roads_of(8)
    together = run_attack(Noise(), straight_victim, scenes)
    alone = run_attack(Noise(), straight_victim, scenes.select([5]))
    assert torch.equal(alone.offset, together.offset[5:6])
    other = run_attack(Noise(), straight_victim, scenes, seed=1)
    assert not torch.equal(other.offset, together.offset)


def test_a_missing_frame_is_not_attacked(run_attack: Any, roads_of: Any, straight_victim: Predictor) -> None:
    """A target that is not seen in the whole attacked span stays as it was and is noted incomplete."""
    scenes = roads_of(4)
    present = scenes.present.clone()
    present[2, 0, 1] = False
    done = run_attack(Noise(), straight_victim, scenes.replace(present=present))
    assert done.view.notes["incomplete"].tolist() == [False, False, True, False]
    assert (done.offset[2] == 0).all()
    assert (done.offset[[0, 1, 3]] != 0).any()
