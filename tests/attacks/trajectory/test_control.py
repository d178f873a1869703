"""The search over acceleration and curvature."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.trajectory.victims.base import Predictor
from robeval_attacks.trajectory.control import Control
from robeval_attacks.trajectory.driving import drive
from robeval_attacks.trajectory.noise import Noise

QUICK = Control(iterations=15)


def test_unchanged_controls_drive_the_clean_track(roads_of: Any) -> None:
    """Inverse and forward unicycle together reproduce moving targets to a micrometre."""
    scenes = roads_of(24, windows=3)
    driven = drive(scenes, 2.0, 0.05)
    span = scenes.target[:, : scenes.attacked]
    moving = (span.diff(dim=1).norm(dim=-1) > 0.1).all(dim=1)
    path = driven._path(driven.control) + span[:, :1]
    assert moving.sum() >= 20
    assert (path - span)[moving].abs().max() < 1e-6
    assert (driven.offset(torch.zeros_like(driven.control)) == 0).all()


def test_braking_shortens_the_drive_by_hand(straight_roads: Any) -> None:
    """1 m/s² less in the first of three steps of 0.5 s costs 0.25, 0.5 and 0.75 m."""
    driven = drive(straight_roads, 2.0, 0.05)
    change = torch.zeros(6, 3, 2, dtype=torch.float64)
    change[:, 0, 0] = -1
    expected = torch.tensor([[0, 0], [-0.25, 0], [-0.5, 0], [-0.75, 0]]).double()
    assert torch.allclose(driven.offset(change), expected.expand(6, 4, 2), atol=1e-9)


def test_curvature_turns_to_the_left_by_hand(straight_roads: Any) -> None:
    """0.02 1/m in the last step of 0.5 s at v m/s turns it by 0.01 v radians counter-clockwise."""
    driven = drive(straight_roads, 2.0, 0.05)
    change = torch.zeros(6, 3, 2, dtype=torch.float64)
    change[:, 2, 1] = 0.02
    speed = torch.arange(1.0, 12, 2, dtype=torch.float64)
    turned = torch.stack([(0.01 * speed).cos() - 1, (0.01 * speed).sin()], dim=-1) * speed.unsqueeze(1) * 0.5
    assert torch.allclose(driven.offset(change)[:, 3], turned, atol=1e-9)


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("budget", [0.0, 0.25, 1.0])
def test_bounds_are_kept(
    run_attack: Any,
    roads_of: Any,
    worst_share_of: Callable,
    learned_victim: Predictor,
    budget: float,
    windows: int,
) -> None:
    """No frame moves farther than the budget, no kinematic limit is broken, the first frame stays."""
    done = run_attack(QUICK, learned_victim, roads_of(24, windows=windows), budget)
    assert done.offset.norm(dim=-1).max() <= budget * (1 + 1e-4)
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert (done.offset[:, 0] == 0).all()
    assert bool((done.offset != 0).any()) == (budget > 0)


def test_it_beats_noise(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Driving badly on purpose raises the error of nearly every target, by more than noise."""
    scenes = roads_of(24)
    done = run_attack(Control(iterations=40), learned_victim, scenes)
    assert (done.after[:, 0] > done.before[:, 0]).float().mean() >= 0.9
    assert done.ade_after.mean() > run_attack(Noise(), learned_victim, scenes).ade_after.mean()


def test_more_restarts_or_iterations_are_never_worse(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """A longer or wider search keeps what the shorter one found; the first start is the clean drive."""
    scenes = roads_of(12)
    base, wider, longer = (
        run_attack(
            Control(objective="ade", restarts=restarts, iterations=iterations), learned_victim, scenes
        ).after[:, 0]
        for restarts, iterations in ((1, 10), (3, 10), (1, 30))
    )
    assert (base >= run_attack(QUICK, learned_victim, scenes).before[:, 0] - 1e-9).all()
    assert (wider >= base - 1e-9).all()
    assert (longer >= base - 1e-9).all()
    assert (wider > base).any()
    assert (longer > base).any()


def test_a_batch_equals_one_by_one(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Searching scenes together or alone gives the same displacements."""
    scenes = roads_of(3)
    together = run_attack(QUICK, learned_victim, scenes)
    for row in range(3):
        alone = run_attack(QUICK, learned_victim, scenes.select([row]))
        assert (alone.offset - together.offset[row]).abs().max() <= 1e-5


def test_a_standing_target_without_heading_is_not_driven(
    run_attack: Any, roads_of: Any, straight_victim: Predictor
) -> None:
    """It is noted stationary and stays; with a heading it can be driven off."""
    scenes = roads_of(3)
    track, heading = scenes.track.clone(), scenes.heading.clone()
    track[1:, 0], heading[1, 0], heading[2, 0] = 5.0, torch.nan, 0.0
    forward = Control(objective="front", iterations=15)
    done = run_attack(forward, straight_victim, scenes.replace(track=track, heading=heading))
    assert done.view.notes["stationary"].tolist() == [False, True, False]
    assert (done.offset[1] == 0).all()
    assert (done.offset[2, :, 0] > 0).any()
    assert (done.offset[2, :, 1].abs() < 1e-9).all()


def test_all_keeps_the_objective_with_the_largest_ade(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """With all objectives no scene ends with a smaller ADE than with ade alone."""
    scenes = roads_of(6)
    every = run_attack(Control(objective="all", restarts=1, iterations=10), learned_victim, scenes)
    alone = run_attack(Control(objective="ade", restarts=1, iterations=10), learned_victim, scenes)
    assert (every.ade_after >= alone.ade_after - 1e-6).all()
