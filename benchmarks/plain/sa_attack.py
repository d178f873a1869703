"""SA-Attack, batched, against the same method written as it is published: one scene, one restart at a time.

    python -m benchmarks.trajectory_sa [--scenes 64] [--restarts 10] [--rounds 5]

Both run in this process on one thread, taking turns, with the same untrained predictor, scenes, and starts.
One look is one (scene x objective x restart x iteration): scale, drive, predict, differentiate, step. The
plain version is written from the method's description (a table of 51 points a segment, a scan for the scale,
Python loops); it is kinder than the authors' code, which also copies every object and rebuilds every feature
at each look.
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.objectives import goals, yardstick
from robeval.domains.trajectory.victims.lstm import LSTM
from robeval.plugins.views import View, under_attack
from robeval.seeding import Seed
from robeval_attacks.trajectory.sa_attack import SAAttack
from robeval_attacks.trajectory.sa_vehicle import STATIONARY_M, CleanDrive, Published
from robeval_datasets.trajectory.synthetic import Synthetic

PUBLISHED_MS = (5.0, 11.0)
"""CPU milliseconds of one look of the authors' code, measured on one thread of a loaded two-core machine."""
BATCHED_ITERATIONS = 5


def plain_scale(offset: np.ndarray) -> float:
    """The largest of 1.00, 0.99, ... that keeps every frame within 1 m."""
    scale = 1.0
    while scale > 0.01 and np.max(np.linalg.norm(offset.copy() * scale, axis=1)) > 1.0:
        scale -= 0.01
    return scale


def plain_drive(points: np.ndarray, start: np.ndarray, yaw: float) -> np.ndarray:
    """Pure pursuit through a table of path points: [steps, 2]."""
    table = np.concatenate([np.linspace(a, b, 52)[1:] for a, b in itertools.pairwise(points)], axis=0)
    x, y, curvature = float(start[0]), float(start[1]), 0.0
    goal, driven = points[-1], []
    for _ in range(math.ceil(1.3 * np.linalg.norm(np.diff(points, axis=0), axis=1).sum() / 0.6) + 6):
        if math.hypot(goal[0] - x, goal[1] - y) <= 0.5:
            return np.array(driven)
        near = np.where(np.linalg.norm(table - np.array([x, y]), axis=1) < 5.0)[0]
        target = table[near[-1]]
        dx, dy = target[0] - x, target[1] - y
        sideways = -dx * math.sin(yaw) + dy * math.cos(yaw)
        rate = (2 * sideways / (dx**2 + dy**2) - curvature) / 0.6
        for _ in range(12):
            x, y = x + 0.05 * math.cos(yaw), y + 0.05 * math.sin(yaw)
            yaw += curvature * 0.05
            curvature += rate * 0.05
            driven.append((x, y))
    return np.zeros((0, 2))


def plain_attack(
    victim: torch.nn.Module, scene: SceneBatch, start: torch.Tensor, iterations: int
) -> torch.Tensor:
    """One restart on one scene, ade goal: the rebuilt displacement of the first look."""
    goal, count = goals(yardstick(scene), ("ade",)), scene.attacked
    clean = scene.target[0, : count + 1].double().numpy()
    heading = float(CleanDrive.of(scene).heading)
    yaw = heading if math.isfinite(heading) else float(CleanDrive.of(scene).chord_yaw())
    offset, first, best = start.clone(), None, -math.inf
    for _ in range(iterations):
        offset = offset.detach().requires_grad_()
        scale = plain_scale(offset.detach().numpy())
        scaled = offset * scale
        moved = clean.copy()
        moved[:count] += scaled.detach().numpy()
        driven = plain_drive(moved, clean[0], yaw)
        rebuilt = np.zeros((count, 2))
        for frame in range(count if len(driven) else 0):
            rebuilt[frame] = driven[frame * len(driven) // count] - clean[frame]
        passed = scaled + (torch.from_numpy(rebuilt).float() - scaled).detach()
        value = goal.value(victim(scene.moved(passed.unsqueeze(0))).most_likely()).sum()
        (slope,) = torch.autograd.grad(value, offset)
        best = max(best, float(value.detach()))
        first = passed.detach() if first is None else first
        offset = offset + 0.01 * slope
    assert first is not None
    return first


def cpu_ms(work: Callable[[], int]) -> float:
    """CPU milliseconds per look; `work` says how many it took."""
    begin = time.process_time()
    looks = work()
    return (time.process_time() - begin) * 1e3 / looks


def disagreement_m(victim: torch.nn.Module, scenes: SceneBatch, start: torch.Tensor) -> float:
    """The largest difference, in metres, between the two versions' first rebuilt histories."""
    vehicle = Published(CleanDrive.of(scenes), 1.0)
    batched = vehicle.rebuild((vehicle.scale(start).view(-1, 1, 1) * start).double()).offset
    pairs = zip(scenes.ids, start, strict=True)
    plain = [plain_attack(victim, scenes.select([number]), row, 1) for number, (_, row) in enumerate(pairs)]
    return float((torch.stack(plain) - batched).abs().max())


def main() -> None:
    """Measure, and print one line per version."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    victim, domain = LSTM().eval(), Trajectory()
    scenes = Synthetic(train_scenes=64, val_scenes=64, test_scenes=2 * asked.scenes, bounds="repo").split(
        "test"
    )
    drives = CleanDrive.of(scenes).arc_m[:, -1] >= STATIONARY_M
    whole = scenes.present[:, 0, : scenes.attacked + 1].all(dim=1)
    scenes = scenes.select((drives & whole).nonzero().squeeze(1)[: asked.scenes])
    start = Seed(0).draws(scenes.ids).uniform(scenes.attacked, 2, low=-1.0, high=1.0)
    versions = {
        "batched repo, one objective": SAAttack(
            mode="repo", restarts=asked.restarts, iterations=BATCHED_ITERATIONS
        ),
        "batched repo, six objectives": SAAttack(
            mode="repo", objective="all", restarts=asked.restarts, iterations=BATCHED_ITERATIONS
        ),
        "batched adaptive, six objectives": SAAttack(
            objective="all", restarts=asked.restarts, iterations=BATCHED_ITERATIONS
        ),
    }

    def plain() -> int:
        # Every fourth scene: all speeds are met, in an order that does not favour one.
        for number in range(0, len(scenes), 4):
            plain_attack(victim, scenes.select([number]), start[number], BATCHED_ITERATIONS)
        return len(range(0, len(scenes), 4)) * BATCHED_ITERATIONS

    def batched(attack: SAAttack) -> int:
        view: View[SceneBatch] = View(victim, domain, attack.threat, scenes.ids)
        attack.perturb(view, scenes, 1.0, Seed(0).draws(scenes.ids))
        return view.backward_rows

    with under_attack(victim):
        print(f"first rebuilt histories differ by at most {disagreement_m(victim, scenes, start):.1e} m")
        times: dict[str, list[float]] = {"plain": [], **{name: [] for name in versions}}
        for _ in range(asked.rounds):
            times["plain"].append(cpu_ms(plain))
            for name, attack in versions.items():
                times[name].append(cpu_ms(lambda attack=attack: batched(attack)))  # type: ignore[misc]
    report(times)


def report(times: dict[str, list[float]]) -> None:
    """CPU time per look, and how many times less that is than the plain version of the same round."""
    print(f"{'version':34s} {'ms/look':>9s}  {'x less than plain':>22s}  {'x less than published':>22s}")
    for name, values in times.items():
        ratios = sorted(a / b for a, b in zip(times["plain"], values, strict=True))
        middle = statistics.median(values)
        against = f"{statistics.median(ratios):6.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        published = f"{PUBLISHED_MS[0] / middle:.0f} to {PUBLISHED_MS[1] / middle:.0f}"
        print(f"{name:34s} {middle:9.4f}  {against:>22s}  {published:>22s}")


if __name__ == "__main__":
    main()
