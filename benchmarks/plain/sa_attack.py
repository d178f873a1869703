"""SA-Attack's loop of follower and projection, one scene and one restart at a time, as published code does it.

Written from the method's description: a table of 51 points a segment, a scan for the scale, Python loops. It is
kinder than the authors' code, which also copies every object and rebuilds every feature at each look.
"""

import itertools
import math

import numpy as np
import torch

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import goals, yardstick
from robeval_attacks.trajectory.sa_vehicle import CleanDrive


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
    goal = points[-1]
    driven: list[tuple[float, float]] = []
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
