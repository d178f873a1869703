"""Toy scenes, and victims so small that what a defense does to them can be computed by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robeval.domains.trajectory.batch import PAD, SMALL_VEHICLE, Observation, Prediction, SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.plugins.data import Dataset, Split
from robeval.seeding import Seed

HORIZON, DT = 6, 0.5
Scenes = Callable[..., SceneBatch]


def drives(count: int, name: str = "drive", *, history: int = 4, windows: int = 1) -> SceneBatch:
    """Straight drives at 1 to 14 m/s in all directions, a parallel neighbour and an empty place."""
    ids = tuple(f"{name}-{number}" for number in range(count))
    draw = Seed(11).draws(ids)
    frames = history + windows - 1 + HORIZON
    step = draw.uniform(1, low=0.5, high=7.0)
    angle = draw.uniform(1, low=0.0, high=6.28)
    change = draw.uniform(1, low=-0.05, high=0.05)
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    time = torch.arange(frames).float().unsqueeze(0)
    travelled = step * time + change * time.square()
    target = travelled.unsqueeze(-1) * direction + draw.normal(frames, 2, std=0.03)
    track = torch.stack([target, target + torch.tensor([0.0, 4.0]), torch.zeros_like(target)], dim=1)
    present = torch.ones(count, 3, frames, dtype=torch.bool)
    present[:, 2] = False
    heading = torch.atan2(direction[..., 1], direction[..., 0]).unsqueeze(-1).expand(count, 3, frames).clone()
    return SceneBatch(
        ids=ids,
        track=track,
        present=present,
        kind=torch.tensor([[SMALL_VEHICLE, SMALL_VEHICLE, PAD]], dtype=torch.int8).repeat(count, 1),
        heading=heading,
        size=torch.tensor([[[4.0, 2.0], [4.0, 2.0], [0.0, 0.0]]]).repeat(count, 1, 1),
        dt=torch.full((count,), DT),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.tensor([[8.599, 1.275, 0.468, 1.957, 0.535]]).repeat(count, 1),
        ego=torch.full((count, frames, 2), float("nan")),
        lanes=torch.zeros(count, 0, 0, 2),
        scene=ids,
        regime=("medium",) * count,
        history=history,
        horizon=HORIZON,
        windows=windows,
    )


class Steady(TrajectoryVictim):
    """Constant velocity from the last two frames: linear in the history."""

    def predict(self, seen: Observation) -> Prediction:
        past = seen.past[:, 0]
        ahead = torch.arange(1, seen.horizon + 1, device=past.device, dtype=past.dtype).view(1, -1, 1)
        return certain(past[:, -1:] + ahead * (past[:, -1:] - past[:, -2:-1]))


class Tiny(TrajectoryVictim):
    """One hidden layer on displacements."""

    steps = 60
    train_batch_size = 32
    learning_rate = 1e-2

    def __init__(self, history: int = 4) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder = nn.Linear(2 * (history - 1), 16)
            self.decoder = nn.Linear(16, 2 * HORIZON)

    def features(self, seen: Observation) -> Tensor:
        moved = seen.past[:, 0].diff(dim=1).flatten(1)
        return torch.tanh(self.encoder(moved.to(self.encoder.weight.dtype)) / 5)

    def predict(self, seen: Observation) -> Prediction:
        paths = self.decoder(self.features(seen)).view(-1, HORIZON, 2).cumsum(dim=1) * 3
        return certain(seen.past[:, 0, -1:] + paths)


class Drives(Dataset):
    """`drives` as a dataset."""

    domain = "trajectory"

    def load(self, split: Split) -> SceneBatch:
        return drives({"train": 400, "val": 64, "test": 64}[split], split)


@pytest.fixture
def scenes() -> Scenes:
    """Makes straight drives."""
    return drives


@pytest.fixture
def steady() -> TrajectoryVictim:
    """A linear victim: constant velocity."""
    return Steady().eval()


@pytest.fixture
def tiny() -> TrajectoryVictim:
    """A small learned victim, the same in every test."""
    return Tiny()


@pytest.fixture
def data() -> Dataset:
    """400 straight drives to train on."""
    return Drives()
