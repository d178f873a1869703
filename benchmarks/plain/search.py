"""The search attack one scene, restart and window at a time, as published code does it.

Written from the description of the method (arXiv:2201.05057) in the style that it is published in: every object
copied in numpy for every window, the feasible scale found by trying 1.00, 0.99, ... in Python.
"""

import copy

import numpy as np
import torch

from benchmarks.trivial import HISTORY, HORIZON, LIMITS, Trivial


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
