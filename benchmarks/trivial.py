"""Scenes, and a victim so small that what an attack adds to it shows."""

import numpy as np
import torch
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction, SceneBatch
from robeval.domains.trajectory.victims.base import Predictor

OBJECTS, HISTORY, HORIZON = 10, 4, 12
LIMITS = (8.599, 1.275, 0.468, 1.957, 0.535)
"""The largest speed, acceleration along and across, jerk along and across that a scene may show."""


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
        path: Tensor = past[:, -1:] + ahead * step + change
        return path

    def predict(self, seen: Observation) -> Prediction:
        """One path, certain."""
        path = self.path(seen.past[:, 0]).unsqueeze(1)
        return Prediction(path, torch.ones(len(path), 1))


def scenes(count: int, windows: int, objects: int = OBJECTS) -> SceneBatch:
    """Bends at 1 to 13 m/s with ten objects each."""
    draw = np.random.default_rng(0)
    frames = HISTORY + windows - 1 + HORIZON
    speed = draw.uniform(0.5, 6.5, (count, objects, 1))
    heading = draw.uniform(-3, 3, (count, objects, 1)) + draw.uniform(
        -0.05, 0.05, (count, objects, 1)
    ) * np.arange(frames)
    step = speed[..., None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    track = (
        draw.uniform(-40, 40, (count, objects, 1, 2)) + step.cumsum(axis=2) + draw.normal(0, 0.02, step.shape)
    )
    return SceneBatch(
        ids=tuple(map(str, range(count))),
        track=torch.tensor(track, dtype=torch.float32),
        present=torch.ones(count, objects, frames, dtype=torch.bool),
        kind=torch.ones(count, objects, dtype=torch.int8),
        heading=torch.tensor(heading, dtype=torch.float32),
        size=torch.ones(count, objects, 2),
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
