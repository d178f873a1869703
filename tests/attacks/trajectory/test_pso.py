"""The black-box particle swarm."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.trajectory.victims.base import Predictor
from robeval_attacks.trajectory.pso import ParticleSwarm

QUICK = ParticleSwarm(particles=6, iterations=20)


def test_the_known_worst_case_is_nearly_reached(
    run_attack: Any, straight_victim: Predictor, straight_roads: Any
) -> None:
    """Constant velocity errs by at most 25 m after 12 steps; a hundred moves find nine tenths of it."""
    final = run_attack(ParticleSwarm(objective="fde"), straight_victim, straight_roads).after[:, 1].sqrt()
    assert (final >= 0.9 * 25).all()
    assert (final <= 25 * (1 + 1e-3)).all()


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
    """What is returned is what was judged: inside the budget and the limits, unlike the published record."""
    done = run_attack(QUICK, learned_victim, roads_of(24, windows=windows), budget)
    assert done.offset.norm(dim=-1).max() <= budget * (1 + 1e-4)
    assert max(worst_share_of(done.clean, done.adversarial)) <= 1 + 1e-4
    assert bool((done.offset != 0).any()) == (budget > 0)


def test_queries_are_particles_times_moves(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """Six particles and twenty moves ask 120 times per scene, and never backwards."""
    done = run_attack(QUICK, learned_victim, roads_of(5))
    assert done.view.queries.tolist() == [120] * 5
    assert done.view.backward_rows == 0


def test_more_restarts_or_moves_are_never_worse(
    run_attack: Any, roads_of: Any, learned_victim: Predictor
) -> None:
    """A longer or wider search keeps what the shorter one found."""
    scenes = roads_of(16)
    base, wider, longer = (
        run_attack(
            ParticleSwarm(objective="ade", restarts=restarts, particles=6, iterations=moves),
            learned_victim,
            scenes,
        ).after[:, 0]
        for restarts, moves in ((1, 10), (3, 10), (1, 40))
    )
    assert (wider >= base - 1e-9).all()
    assert (longer >= base - 1e-9).all()
    assert (wider > base).any()
    assert (longer > base).any()


def test_a_batch_equals_one_by_one(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """A scene's swarm flies alone as among others."""
    scenes = roads_of(3)
    together = run_attack(QUICK, learned_victim, scenes)
    for row in range(3):
        alone = run_attack(QUICK, learned_victim, scenes.select([row]))
        assert (alone.offset - together.offset[row]).abs().max() <= 1e-5


def test_all_runs_six_swarms(run_attack: Any, roads_of: Any, learned_victim: Predictor) -> None:
    """All objectives cost six swarms and one more question each, and end no lower than ade alone."""
    scenes = roads_of(4)
    every = run_attack(
        ParticleSwarm(objective="all", restarts=1, particles=6, iterations=10), learned_victim, scenes
    )
    alone = run_attack(
        ParticleSwarm(objective="ade", restarts=1, particles=6, iterations=10), learned_victim, scenes
    )
    assert every.view.queries.tolist() == [6 * 60 + 6] * 4
    assert (every.ade_after >= alone.ade_after - 1e-6).all()


def test_float32_scenes_stay_float32(run_attack: Any, roads_of: Any, straight_victim: Predictor) -> None:
    """The swarm flies in the precision of the scenes."""
    done = run_attack(QUICK, straight_victim, roads_of(3, dtype=torch.float32))
    assert done.adversarial.track.dtype == torch.float32
    assert (done.offset != 0).any()
