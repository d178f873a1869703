"""The search attack one scene at a time, as published code does it, against ours.

Run it: ``python -m benchmarks.trajectory_search``.

The slow way is written from the description of the method (arXiv:2201.05057) in the style that it is
published in: one scene, restart and window per call, every object copied in numpy for every window, the
feasible scale found by trying 1.00, 0.99, ... in Python. Both ways ask the same trivial recurrent predictor;
one thread; no early stopping, so that both do the same iterations. The unit is one iteration of one (scene,
objective, restart).
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("attacks", "datasets")]

from benchmarks.side_by_side import Pair, measure  # noqa: E402
from robeval.domains.trajectory.batch import Observation, Prediction, SceneBatch  # noqa: E402
from robeval.domains.trajectory.domain import Trajectory  # noqa: E402
from robeval.domains.trajectory.victims.base import Predictor  # noqa: E402
from robeval.plugins.views import View, under_attack  # noqa: E402
from robeval.seeding import Seed  # noqa: E402

OBJECTS, HISTORY, HORIZON = 10, 4, 12
LIMITS = (8.599, 1.275, 0.468, 1.957, 0.535)


class Trivial(Predictor):
    """A GRU over the target's steps and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(2, 32, batch_first=True)
        self.decoder = nn.Linear(32, 2 * HORIZON)

    def path(self, past: Tensor) -> Tensor:
        """The next positions of every row: [rows, horizon, 2]."""
        _, state = self.encoder(past.diff(dim=1))
        ahead = torch.arange(1, HORIZON + 1, dtype=past.dtype).view(1, -1, 1)
        step = (past[:, -1] - past[:, -2]).unsqueeze(1)
        change = self.decoder(state[-1]).unflatten(1, (HORIZON, 2))
        return past[:, -1:] + ahead * step + change

    def predict(self, seen: Observation) -> Prediction:
        """One path, certain."""
        path = self.path(seen.past[:, 0]).unsqueeze(1)
        return Prediction(path, torch.ones(len(path), 1))


def scenes(count: int, windows: int) -> SceneBatch:
    """Bends at 1 to 13 m/s with ten objects each."""
    draw = np.random.default_rng(0)
    frames = HISTORY + windows - 1 + HORIZON
    speed = draw.uniform(0.5, 6.5, (count, OBJECTS, 1))
    heading = draw.uniform(-3, 3, (count, OBJECTS, 1)) + draw.uniform(
        -0.05, 0.05, (count, OBJECTS, 1)
    ) * np.arange(frames)
    step = speed[..., None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    track = (
        draw.uniform(-40, 40, (count, OBJECTS, 1, 2)) + step.cumsum(axis=2) + draw.normal(0, 0.02, step.shape)
    )
    return SceneBatch(
        ids=tuple(map(str, range(count))),
        track=torch.tensor(track, dtype=torch.float32),
        present=torch.ones(count, OBJECTS, frames, dtype=torch.bool),
        kind=torch.ones(count, OBJECTS, dtype=torch.int8),
        heading=torch.tensor(heading, dtype=torch.float32),
        size=torch.ones(count, OBJECTS, 2),
        dt=torch.full((count,), 0.5),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.tensor(LIMITS).expand(count, 5).clone(),
        ego=torch.full((count, frames, 2), torch.nan),
        lanes=torch.zeros(count, 0, 0, 2),
        scene=tuple(map(str, range(count))),
        regime=("medium",) * count,
        history=HISTORY,
        horizon=HORIZON,
        windows=windows,
    )


def one_by_one(victim: Trivial, track: np.ndarray, windows: int, iterations: int, restarts: int) -> float:
    """One scene [objects, frames, 2], one restart after the other."""
    attacked = HISTORY + windows - 1
    draw = np.random.default_rng(1)
    best = -np.inf
    for _ in range(restarts):
        offset = draw.uniform(-1, 1, (attacked, 2)).astype(np.float32)
        for _ in range(iterations):
            scale = _scale_by_trying(offset, track[0])
            shift = torch.tensor(offset, requires_grad=True)
            loss = torch.zeros(())
            for k in range(windows):
                objects = {number: copy.deepcopy(track[number]) for number in range(len(track))}
                past = {number: torch.tensor(objects[number][k : k + HISTORY]) for number in objects}
                past[0] = past[0] + scale * shift[k : k + HISTORY]
                truth = torch.tensor(objects[0][k + HISTORY : k + HISTORY + HORIZON])
                path = victim.path(torch.stack(list(past.values())))[0]
                loss = loss - ((path - truth) ** 2).sum(dim=1).mean()
            loss.backward()
            assert shift.grad is not None
            best = max(best, -loss.item())
            offset = offset - 0.01 * shift.grad.numpy()
    return best


def _scale_by_trying(offset: np.ndarray, track: np.ndarray) -> float:
    scale = 1.0
    while scale > 0:
        moved = track.copy()
        moved[: len(offset)] += scale * offset
        if _drivable(moved) and np.sqrt(((scale * offset) ** 2).sum(axis=1)).max() <= 1:
            return scale
        scale -= 0.01
    return 0.0


def _drivable(track: np.ndarray) -> bool:
    velocity = track[1:] - track[:-1]
    acceleration = velocity[1:] - velocity[:-1]
    jerk = acceleration[1:] - acceleration[:-1]
    speed = np.sqrt((velocity**2).sum(axis=1))
    along = velocity / (speed[:, None] + 0.001)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    return bool(
        speed.max() <= LIMITS[0]
        and np.abs((along[:-1] * acceleration).sum(axis=1)).max() <= LIMITS[1]
        and np.abs((across[:-1] * acceleration).sum(axis=1)).max() <= LIMITS[2]
        and np.abs((along[:-2] * jerk).sum(axis=1)).max() <= LIMITS[3]
        and np.abs((across[:-2] * jerk).sum(axis=1)).max() <= LIMITS[4]
    )


def batched(victim: Trivial, batch: SceneBatch, iterations: int, restarts: int) -> SceneBatch:
    """Our search through its public door, early stopping switched off."""
    import robeval_attacks.trajectory.search as module

    module.PATIENCE, module.FLAT = 10**9, 0.0
    attack = module.Search(restarts=restarts, iterations=iterations)
    view = View(victim, Trajectory(), attack.threat, batch.ids)
    with under_attack(victim):
        return attack.perturb(view, batch, 1.0, Seed(0).draws(batch.ids))


def main(repeats: int = 5) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    victim = Trivial().eval()
    pairs = {}
    for windows in (1, 6):
        batch = scenes(32, windows)
        track = batch.track[0].numpy()
        pairs[f"search, {windows} window{'s' * (windows > 1)}"] = Pair(
            lambda track=track, windows=windows: one_by_one(victim, track, windows, 20, 2),
            lambda batch=batch: batched(victim, batch, 20, 4),
            20 * 2,
            20 * 4 * 32,
        )
    print("CPU per iteration of one (scene, objective, restart): one by one, batched, ratio (range)")
    for name, ratio in measure(pairs, repeats).items():
        print(f"{name:18s} {ratio}")


if __name__ == "__main__":
    main()
