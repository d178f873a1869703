"""The search attack, batched, against the same method written as it is published.

Both ways ask the same trivial recurrent predictor; one thread; no early stopping, so that both do the same
iterations. The unit is one iteration of one (scene, objective, restart).
"""

import torch

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Measured
from benchmarks.plain.search import one_by_one
from benchmarks.trivial import Trivial, scenes
from benchmarks.turns import in_turns
from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.trajectory import search

SCENES, THEIR_RESTARTS, OUR_RESTARTS = 32, 2, 4


def batched(victim: Trivial, batch: SceneBatch, iterations: int, restarts: int) -> SceneBatch:
    """Our search through its public door, early stopping switched off."""
    search.PATIENCE, search.FLAT = 10**9, 0.0
    attack = search.Search(restarts=restarts, iterations=iterations)
    view: View[SceneBatch] = View(victim, Trajectory(), attack.threat, batch.ids)
    with under_attack(victim):
        return attack.perturb(view, batch, 1.0, Seed(0).draws(batch.ids))


def measure(quick: bool) -> Measured:
    """One window and six, both ways in turns."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    iterations, rounds = (3, 2) if quick else (20, 5)
    victim = Trivial().eval()
    rows, claims = [], []
    for windows in (1, 6):
        batch = scenes(SCENES, windows)
        track = batch.track[0].numpy()
        times = in_turns(
            {
                "one by one": lambda t=track, w=windows: one_by_one(victim, t, w, iterations, THEIR_RESTARTS),  # type: ignore[misc]
                "batched": lambda b=batch: batched(victim, b, iterations, OUR_RESTARTS),  # type: ignore[misc]
            },
            rounds,
        )
        plain = [1e3 * t / (iterations * THEIR_RESTARTS) for t in times["one by one"]]
        ours = [1e3 * t / (iterations * OUR_RESTARTS * SCENES) for t in times["batched"]]
        cheaper = ratio(plain, ours)
        name = f"search, {windows} window{'s' * (windows > 1)}"
        rows.append((name, middle(plain, "ms"), middle(ours, "ms"), cheaper))
        claims.append(Claim(what=f"{name}: batched against one by one", figure=cheaper, at_least=10.0))
    return Measured(
        columns=("", "one by one", "batched", "times less"), rows=tuple(rows), claims=tuple(claims)
    )
