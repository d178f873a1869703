"""How the cost of an attack and of a run grows with what they are given."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.arithmetic import middle, slope
from benchmarks.frame import Claim, Figure, Measured, shown
from benchmarks.trivial import Trivial, scenes
from benchmarks.turns import in_turns, say
from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.victims.base import Predictor
from robeval.domains.trajectory.victims.grip import GRIP
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.trajectory.search import Search

LINEAR = 1.1
"""The exponent that still counts as linear."""
ITERATIONS = 10
SCENES, AGENTS, RESTARTS, CELLS = (
    (32, 64, 128, 256, 512),
    (8, 16, 32, 64, 128),
    (4, 8, 16, 32, 64),
    (8, 16, 32, 64, 128),
)


def measure(quick: bool) -> Measured:
    """Scenes and restarts of the search attack, agents in front of GRIP++; cells of a run."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = 2 if quick else 5

    def fewer(sizes: Sequence[int]) -> Sequence[int]:
        return sizes[:3] if quick else sizes

    axes = {
        "scenes": _costs([(n, _attack(count=n)) for n in fewer(SCENES)], rounds),
        "agents": _costs([(n, _on_grip(n)) for n in fewer(AGENTS)], rounds),
        "restarts": _costs([(n, _attack(restarts=n)) for n in fewer(RESTARTS)], rounds),
        "cells": {n: [_run_seconds(n)] for n in fewer(CELLS)},
    }
    rows: list[tuple[Figure | str, ...]] = []
    claims = []
    for name, costs in axes.items():
        typical = [middle(found).value for found in costs.values()]
        exponent = slope(list(costs), typical)
        sizes = f"{min(costs):,} to {max(costs):,}"
        spent = f"{shown(1e3 * typical[0])} to {shown(1e3 * typical[-1])} ms"
        rows.append((name, sizes, spent, exponent))
        claims.append(Claim(what=f"growth with {name}: exponent", figure=exponent, at_most=LINEAR))
    return Measured(
        columns=("what grows", "sizes", "cost", "exponent (95 % interval)"),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=("Small sizes carry fixed costs, which is why an exponent can be below 1.",),
    )


def _on_grip(agents: int) -> Callable[[], object]:
    """The search attack on GRIP++, which looks at every one of a number of agents."""
    return _attack(8, agents, 2, GRIP(agents=agents))


def _attack(
    count: int = 32, objects: int = 8, restarts: int = 4, model: Predictor | None = None
) -> Callable[[], object]:
    """The search attack on a number of scenes with a number of agents each."""
    batch, victim = scenes(count, 1, objects), (model or Trivial()).eval()
    attack = Search(restarts=restarts, iterations=ITERATIONS)

    def work() -> object:
        view: View[SceneBatch] = View(victim, Trajectory(), attack.threat, batch.ids)
        with under_attack(victim):
            return attack.perturb(view, batch, 1.0, Seed(0).draws(batch.ids))

    return work


def _costs(ways: Sequence[tuple[int, Callable[[], object]]], rounds: int) -> dict[int, list[float]]:
    found = in_turns({str(size): work for size, work in ways}, rounds)
    return {int(size): seconds for size, seconds in found.items()}


def _run_seconds(cells: int) -> float:
    """CPU seconds of a whole run of cheap cells: planning, executing, storing, in this process."""
    from robeval.engine.cache import Cache
    from robeval.engine.experiment import build_experiment, specs
    from robeval.engine.plan import make_plan
    from robeval.engine.progress import Watcher
    from robeval.engine.run import run
    from robeval.plugins.discovery import discover
    from robeval.testing.linear import register

    registry = discover([])
    register(registry)
    budgets = [0.01 * (number + 1) for number in range(cells)]
    experiment = build_experiment(
        domain="linear", attacks=specs(("worst",)), defenses=specs(("none",)), budgets=budgets
    )
    with tempfile.TemporaryDirectory() as name:
        began = time.process_time()
        plan = make_plan(experiment, registry)
        outcome = run(plan, Path(name) / "run", Cache(Path(name) / "cache"), Watcher(), command="benchmark")
        seconds = time.process_time() - began
    if outcome.exit_code(strict=False):
        raise RuntimeError("a cell failed")
    say(f"{len(plan.cells)} cells in {seconds:.1f} s")
    return seconds
