"""The published gradient search."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.objectives import OBJECTIVES
from robeval.domains.trajectory.victims.base import Predictor
from robeval_attacks.trajectory.noise import Noise
from robeval_attacks.trajectory.search import Search

QUICK = Search(restarts=2, iterations=12)


def test_the_known_worst_case_is_reached(
    run_attack: Any, straight_victim: Predictor, straight_roads: Any
) -> None:
    """Constant velocity errs by at most 25 budgets after 12 steps, and by 14 to the left on average."""
    budget = 0.25
    far = run_attack(Search(objective="fde", restarts=3), straight_victim, straight_roads, budget)
    final = far.after[:, 1].sqrt()
    assert (final >= 0.93 * 25 * budget).all()
    assert (final <= 25 * budget * (1 + 1e-3)).all()
    left = run_attack(Search(objective="left", restarts=3), straight_victim, straight_roads, budget).after[
        :, 2
    ]
    assert (left >= 0.9 * 14 * budget).all()
    assert (left <= 14 * budget * (1 + 1e-3)).all()


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
    """No frame moves farther than the budget and no limit is broken, with one shared displacement for
    windows."""
    done = run_attack(QUICK, learned_victim, roads_of(24, windows=windows), budget)
    assert done.offset.shape == (24, 3 + windows, 2)
    assert done.offset.norm(dim=-1).max() <= budget * (1 + 1e-4)
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert (done.adversarial.target[:, 3 + windows :] == done.clean.target[:, 3 + windows :]).all()
    assert bool((done.offset != 0).any()) == (budget > 0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_own_objective_is_raised(
    run_attack: Any, roads_of: Any, learned_victim: Predictor, objective: str
) -> None:
    """At least nine of ten targets end with more of what was asked for."""
    done = run_attack(Search(objective=objective, restarts=3, iterations=20), learned_victim, roads_of(24))
    number = OBJECTIVES.index(objective)
    assert (done.after[:, number] > done.before[:, number]).float().mean() >= 0.9


def test_more_restarts_or_iterations_are_never_worse(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """A longer or wider search keeps what the shorter one found."""
    scenes = roads_of(16)

    def best(restarts: int, iterations: int) -> Tensor:
        return run_attack(
            Search(objective="ade", restarts=restarts, iterations=iterations), learned_victim, scenes
        ).after[:, 0]

    base, wider, longer = best(2, 10), best(5, 10), best(2, 30)
    assert (wider >= base - 1e-9).all()
    assert (wider > base).any()
    assert (longer >= base - 1e-9).all()
    assert (longer > base).any()


def test_a_batch_equals_one_by_one(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Searching scenes together or alone gives the same displacements."""
    scenes = roads_of(3)
    together = run_attack(QUICK, learned_victim, scenes)
    for row in range(3):
        alone = run_attack(QUICK, learned_victim, scenes.select([row]))
        assert (alone.offset - together.offset[row]).abs().max() <= 1e-5


def test_all_keeps_the_objective_with_the_largest_ade(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """The six at once end with the worst of what the six single searches find."""
    scenes = roads_of(8)

    def found(objective: str) -> Tensor:
        return run_attack(
            Search(objective=objective, restarts=2, iterations=15), learned_victim, scenes
        ).ade_after

    single = torch.stack([found(name) for name in OBJECTIVES])
    assert torch.allclose(found("all"), single.amax(dim=0), atol=1e-5)
    assert len(set(single.argmax(dim=0).tolist())) > 1


def test_inputs_are_not_touched(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """The clean batch is the same afterwards, and the same seed gives the same answer."""
    scenes = roads_of(4)
    before = scenes.replace(track=scenes.track.clone(), present=scenes.present.clone())
    first = run_attack(QUICK, learned_victim, scenes)
    assert scenes.identical(before)
    assert first.adversarial.identical(run_attack(QUICK, learned_victim, scenes).adversarial)
    assert not first.adversarial.track.requires_grad


def test_the_halving_projection_keeps_the_bounds_too(
    run_attack: Any, roads_of: Any, worst_share_of: Callable, learned_victim: Predictor
) -> None:
    """`projection: bisect` finds displacements inside the bounds that beat noise."""
    scenes = roads_of(24)
    done = run_attack(
        Search(objective="ade", restarts=2, iterations=25, projection="bisect"), learned_victim, scenes
    )
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert done.ade_after.mean() > run_attack(Noise(), learned_victim, scenes).ade_after.mean()


def test_missing_future_frames_do_not_bind(
    run_attack: Any, roads_of: Any, worst_share_of: Callable, learned_victim: Predictor
) -> None:
    """Unknown frames count neither for the objective nor for the bounds; the rest is attacked as ever."""
    scenes = roads_of(12)
    present = scenes.present.clone()
    present[:6, 0, 6:] = False
    track = scenes.track.clone()
    track[:6, 0, 6:] = 0
    done = run_attack(QUICK, learned_victim, scenes.replace(present=present, track=track))
    assert (done.after[:6, 0] > done.before[:6, 0]).sum() >= 5
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    fde = run_attack(Search(objective="fde", restarts=1, iterations=3), learned_victim, done.clean)
    assert fde.view.notes["unknown_future"].tolist() == [True] * 6 + [False] * 6
    assert (fde.offset[:6] == 0).all()


def test_a_standing_target_without_heading_has_no_side(
    run_attack: Any, roads_of: Any, straight_victim: Predictor
) -> None:
    """A directional goal leaves it alone and says so; ade attacks it all the same."""
    scenes = roads_of(3)
    track, heading = scenes.track.clone(), scenes.heading.clone()
    track[1, 0], heading[1, 0] = 5.0, torch.nan
    scenes = scenes.replace(track=track, heading=heading)
    left = run_attack(Search(objective="left", restarts=2, iterations=10), straight_victim, scenes)
    assert left.view.notes["stationary"].tolist() == [False, True, False]
    assert (left.offset[1] == 0).all()
    ade = run_attack(Search(objective="ade", restarts=2, iterations=10), straight_victim, scenes)
    assert "stationary" not in ade.view.notes
    assert (ade.offset[1] != 0).any()


class Bursting(Predictor):
    """Answers NaN for scenes that drive fast, straight motion for the others."""

    def predict(self, seen: Observation) -> Prediction:
        step = seen.past[:, 0, -1] - seen.past[:, 0, -2]
        path = seen.past[:, 0, -1:] + step.unsqueeze(1).repeat(1, seen.horizon, 1)
        bad = (step.norm(dim=-1) > 3).view(-1, 1, 1)
        path = path * torch.where(bad, torch.nan, 1.0)
        return Prediction(path.unsqueeze(1), torch.ones(len(path), 1, dtype=path.dtype))


def test_a_victim_that_answers_nan_freezes_its_rows(run_attack: Any, straight_roads: Any) -> None:
    """Rows that meet NaN are noted and stay inside the bounds; the others are attacked as if alone."""
    done = run_attack(Search(objective="fde", restarts=2, iterations=30), Bursting(), straight_roads, 0.1)
    assert done.view.notes["nan"].tolist() == [False] * 3 + [True] * 3
    assert done.offset.isfinite().all()
    alone = run_attack(
        Search(objective="fde", restarts=2, iterations=30), Bursting(), straight_roads.select([0]), 0.1
    )
    assert torch.allclose(alone.offset, done.offset[:1])


def test_nothing_feasible_is_noted(run_attack: Any, roads_of: Any, straight_victim: Predictor) -> None:
    """Under limits that are all the clean track's own, nothing moves: the attack failed and says so."""
    done = run_attack(
        Search(objective="ade", restarts=1, iterations=3), straight_victim, roads_of(5, limits=(1e-6,) * 5)
    )
    assert done.view.notes["infeasible"].all()
    assert (done.offset == 0).all()


def test_one_pass_each_way_per_row_and_iteration(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """Five scenes, two restarts, four iterations are forty passes forward and forty backward."""
    done = run_attack(Search(objective="left", restarts=2, iterations=4), learned_victim, roads_of(5))
    assert done.view.forward_rows == done.view.backward_rows == 40
