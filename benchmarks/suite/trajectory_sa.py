"""SA-Attack, batched, against the same method written as it is published: one scene, one restart at a time.

Both run on one thread, taking turns, with the same untrained predictor, scenes and starts. One look is one
(scene, objective, restart, iteration): scale, drive, predict, differentiate, step.
"""

import torch

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Figure, Measured
from benchmarks.plain.sa_attack import plain_attack
from benchmarks.turns import in_turns
from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.victims.lstm import LSTM
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.trajectory.sa_attack import SAAttack
from robeval_attacks.trajectory.sa_vehicle import STATIONARY_M, CleanDrive, Published
from robeval_datasets.trajectory.synthetic import Synthetic

ITERATIONS, RESTARTS = 5, 10
EVERY = 4
"""The slow way takes every fourth scene: all speeds are met, in an order that does not favour one."""
AGREE_M = 1e-3
"""Both ways rebuild the same histories, or the comparison is void."""


def driving(count: int) -> SceneBatch:
    """Scenes whose target moves and is seen throughout."""
    scenes = Synthetic(train_scenes=64, val_scenes=64, test_scenes=2 * count, bounds="repo").load("test")
    drives = CleanDrive.of(scenes).arc_m[:, -1] >= STATIONARY_M
    whole = scenes.present[:, 0, : scenes.attacked + 1].all(dim=1)
    return scenes.select((drives & whole).nonzero().squeeze(1)[:count])


def disagreement_m(victim: LSTM, scenes: SceneBatch, start: torch.Tensor) -> float:
    """The largest difference, in metres, between the two ways' first rebuilt histories."""
    vehicle = Published(CleanDrive.of(scenes), 1.0)
    batched = vehicle.rebuild((vehicle.scale(start).view(-1, 1, 1) * start).double()).offset
    plain = [plain_attack(victim, scenes.select([row]), start[row], 1) for row in range(len(scenes))]
    return float((torch.stack(plain) - batched).abs().max())


def measure(quick: bool) -> Measured:
    """Our three variants against the one slow way, in turns."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    victim, domain = LSTM().eval(), Trajectory()
    scenes = driving(8 if quick else 64)
    start = Seed(0).draws(scenes.ids).uniform(scenes.attacked, 2, low=-1.0, high=1.0)
    restarts = 2 if quick else RESTARTS
    attacks = {
        "`repo`, one objective": SAAttack(mode="repo", restarts=restarts, iterations=ITERATIONS),
        "`repo`, six objectives": SAAttack(
            mode="repo", objective="all", restarts=restarts, iterations=ITERATIONS
        ),
        "`adaptive`, six objectives": SAAttack(objective="all", restarts=restarts, iterations=ITERATIONS),
    }
    looks: dict[str, int] = {}

    def plain() -> None:
        taken = range(0, len(scenes), EVERY)
        for row in taken:
            plain_attack(victim, scenes.select([row]), start[row], ITERATIONS)
        looks["plain"] = len(taken) * ITERATIONS

    def batched(name: str, attack: SAAttack) -> None:
        view: View[SceneBatch] = View(victim, domain, attack.threat, scenes.ids)
        attack.perturb(view, scenes, 1.0, Seed(0).draws(scenes.ids))
        looks[name] = view.backward_rows

    with under_attack(victim):
        apart = disagreement_m(victim, scenes, start)
        if not apart <= AGREE_M:
            raise RuntimeError(f"the two ways differ by {apart:.2g} m: they do not do the same work")
        ways = {name: (lambda n=name, a=attack: batched(n, a)) for name, attack in attacks.items()}
        times = in_turns({"plain": plain, **ways}, 2 if quick else 5)
    per_look = {name: [1e3 * t / looks[name] for t in found] for name, found in times.items()}
    rows, claims = [], []
    for name in attacks:
        cheaper = ratio(per_look["plain"], per_look[name])
        rows.append(
            (f"SA-Attack {name}", middle(per_look["plain"], "ms"), middle(per_look[name], "ms"), cheaper)
        )
        claims.append(
            Claim(what=f"SA-Attack {name}: batched against one by one", figure=cheaper, at_least=10.0)
        )
    difference = Figure(value=apart, unit="m")
    return Measured(
        columns=("", "one by one", "batched", "times less"),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=(f"The first rebuilt histories of the two ways differ by at most {difference}.",),
    )
