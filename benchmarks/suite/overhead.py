"""What every attack costs beyond its passes through the victim."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Figure, Measured, shown
from benchmarks.shell import robeval
from benchmarks.turns import in_turns, say
from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.victims.base import Predictor
from robeval.domains.trajectory.victims.grip import GRIP
from robeval.domains.trajectory.victims.lstm import LSTM
from robeval.plugins.contracts import Attack
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.trajectory.pso import ParticleSwarm
from robeval_attacks.trajectory.sa_attack import SAAttack
from robeval_attacks.trajectory.search import Search
from robeval_attacks.trajectory.search_plus import SearchPlus
from robeval_datasets.trajectory.synthetic import Synthetic

EXAMPLES = 72
LIMIT = 1.2
"""For gradient attacks on GRIP++; the small default victim makes an attack's own work look large."""


class Spent(NamedTuple):
    """CPU seconds of the attack and of its passes alone, round by round, and how many passes."""

    attack: list[float]
    passes: list[float]
    forward: int
    backward: int


def measure(quick: bool) -> Measured:
    """Every asking attack of the default run on both victims; what an attack costs does not depend on their skill."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    iterations, rounds, count = (3, 2, 8) if quick else (10, 3, EXAMPLES)
    victims: dict[str, Predictor] = {"lstm": LSTM(), "grip": GRIP()}
    attacks: dict[str, Attack[SceneBatch]] = {
        "search": Search(iterations=iterations),
        "search-plus": SearchPlus(iterations=iterations),
        "sa-attack": SAAttack(iterations=iterations),
        "pso": ParticleSwarm(iterations=iterations),
    }
    scenes = Synthetic().load("test").select(slice(0, count))
    recorded = _recorded(quick, list(victims), iterations)
    rows: list[tuple[Figure | str, ...]] = []
    claims = []
    for victim, model in victims.items():
        for name, attack in attacks.items():
            found = spent(model.eval(), attack, scenes, rounds)
            overhead = ratio(found.attack, found.passes)
            passes = f"{found.forward / count:,.0f} + {found.backward / count:,.0f}"
            seconds = middle(found.attack, "s")
            rows.append((victim, name, passes, seconds, overhead, recorded.get((victim, name), "")))
            say(f"{name} on {victim}: {overhead}")
            if victim == "grip" and found.backward:
                claims.append(Claim(what=f"{name} on GRIP++: overhead", figure=overhead, at_most=LIMIT))
    return Measured(
        columns=(
            *("victim", "attack", "passes forward + backward per example", "CPU of the attack", "overhead"),
            "as a run recorded it",
        ),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=(
            f"{count} scenes in one batch, as many restarts as each attack makes by default. SA-Attack drives a "
            "simulated vehicle at every look, step by step: that is its method, and it costs what a pass through a "
            "small victim costs.",
        ),
    )


def spent(victim: Predictor, attack: Attack[SceneBatch], scenes: SceneBatch, rounds: int) -> Spent:
    """The attack, and as many passes of as many rows without it, in turns."""
    views: list[View[SceneBatch]] = []

    def attacked() -> None:
        view: View[SceneBatch] = View(victim, Trajectory(), attack.grant, scenes.ids)
        with under_attack(victim):
            attack.perturb(view, scenes, 1.0, Seed(0).draws(scenes.ids))
        views.append(view)

    attacked()
    view = views[0]
    alone = _passes(victim, scenes, view.calls, view.forward_rows, bool(view.backward_rows))
    times = in_turns({"attack": attacked, "passes": alone}, rounds)
    return Spent(times["attack"], times["passes"], view.forward_rows, view.backward_rows)


def _passes(victim: Predictor, scenes: SceneBatch, calls: int, rows: int, back: bool) -> Callable[[], None]:
    """`rows` rows in `calls` calls, and back to the positions."""
    a_call = rows / calls
    given = scenes.repeat(-(-round(a_call) // len(scenes))).select(slice(0, round(a_call)))
    start = torch.zeros(len(given), given.attacked, 2)

    def alone() -> None:
        with under_attack(victim):
            for _ in range(calls):
                shift = start.clone().requires_grad_(back)
                answer = Trajectory().answer(victim(given.moved(shift)))
                if back:
                    torch.autograd.grad(answer.sum(), shift)

    return alone


def _recorded(quick: bool, victims: list[str], iterations: int) -> dict[tuple[str, str], str]:
    """`cost.overhead` of the same cells in a real run."""
    asked = [f"{name}:iterations={iterations}" for name in ("search", "search-plus", "sa-attack")]
    words = ["run", "trajectory", "-d", "none", "--quiet", "--json", "summary.json"]
    words += [word for attack in (*asked, f"pso:iterations={iterations}") for word in ("-a", attack)]
    words += [word for name in victims for word in ("--victim", f"{name}:steps=2")]
    words += ["--max-examples", "8" if quick else str(EXAMPLES)]
    with tempfile.TemporaryDirectory() as name:
        robeval(*words, folder=Path(name))
        cells = json.loads((Path(name) / "summary.json").read_text())["cells"]
    return {
        (_short(cell["victim"]), _short(cell["attack"])): f"{shown(cell['cost']['overhead'])} ×"
        for cell in cells
        if cell["cost"]["overhead"] is not None
    }


def _short(spec: str) -> str:
    return spec.partition(":")[0]
