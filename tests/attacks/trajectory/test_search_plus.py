"""The stronger gradient search."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.objectives import OBJECTIVES
from robeval.domains.trajectory.victims.base import Predictor
from robeval_attacks.trajectory.noise import Noise
from robeval_attacks.trajectory.pso import ParticleSwarm
from robeval_attacks.trajectory.search import Search
from robeval_attacks.trajectory.search_plus import SearchPlus

QUICK = SearchPlus(restarts=2, iterations=12)


def test_the_known_worst_case_is_reached(
    run_attack: Any, straight_victim: Predictor, straight_roads: Any
) -> None:
    """Constant velocity errs by at most 25 budgets after 12 steps, and by 14 to the left on average."""
    budget = 0.5
    final = (
        run_attack(SearchPlus(objective="fde"), straight_victim, straight_roads, budget).after[:, 1].sqrt()
    )
    assert (final >= 0.95 * 25 * budget).all()
    assert (final <= 25 * budget * (1 + 1e-3)).all()
    left = run_attack(SearchPlus(objective="left"), straight_victim, straight_roads, budget).after[:, 2]
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
    """No frame moves farther than the budget and no kinematic limit is broken."""
    done = run_attack(QUICK, learned_victim, roads_of(24, windows=windows, dtype=torch.float64), budget)
    assert done.offset.norm(dim=-1).max() <= budget * (1 + 1e-4)
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert bool((done.offset != 0).any()) == (budget > 0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_own_objective_is_raised(
    run_attack: Any, roads_of: Any, learned_victim: Predictor, objective: str
) -> None:
    """Nineteen of twenty targets end with more of what was asked for."""
    done = run_attack(
        SearchPlus(objective=objective, restarts=2, iterations=30), learned_victim, roads_of(24)
    )
    number = OBJECTIVES.index(objective)
    assert (done.after[:, number] > done.before[:, number]).float().mean() >= 0.95


def test_more_restarts_or_iterations_are_never_worse(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """A longer or wider search keeps what the shorter one found."""
    scenes = roads_of(16)

    def best(restarts: int, iterations: int) -> Tensor:
        return run_attack(
            SearchPlus(objective="ade", restarts=restarts, iterations=iterations), learned_victim, scenes
        ).after[:, 0]

    base, wider, longer = best(1, 10), best(3, 10), best(1, 30)
    assert (wider >= base - 1e-9).all()
    assert (longer >= base - 1e-9).all()
    assert (longer > base).float().mean() > 0.5


def test_a_batch_equals_one_by_one(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Searching scenes together or alone gives the same displacements."""
    scenes = roads_of(3)
    together = run_attack(QUICK, learned_victim, scenes)
    for row in range(3):
        alone = run_attack(QUICK, learned_victim, scenes.select([row]))
        assert (alone.offset - together.offset[row]).abs().max() <= 1e-5


def test_the_solvers_stand_in_order(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Random < published search < particle swarm < this solver, the swarm by a fifth."""
    scenes = roads_of(24)
    attacks = (
        Noise(),
        Search(objective="ade", restarts=4, iterations=50),
        ParticleSwarm(objective="ade"),
        SearchPlus(objective="ade"),
    )
    noise, search, swarm, plus = (
        run_attack(attack, learned_victim, scenes).after[:, 0].mean().item() for attack in attacks
    )
    assert noise < search < swarm < plus
    assert swarm >= 1.2 * search


def test_all_is_at_least_the_best_of_one(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """With all objectives no scene ends with a smaller ADE than with ade alone."""
    scenes = roads_of(8)
    every = run_attack(SearchPlus(objective="all", restarts=1, iterations=10), learned_victim, scenes)
    alone = run_attack(SearchPlus(objective="ade", restarts=1, iterations=10), learned_victim, scenes)
    assert (every.ade_after >= alone.ade_after - 1e-6).all()
