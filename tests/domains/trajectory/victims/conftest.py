"""The five predictors, and random scenes with all that makes scenes awkward."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import torch

from robeval.domains.trajectory.batch import CYCLE, PAD, PEDESTRIAN, SMALL_VEHICLE, Observation, SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim

LEARNED = ("lstm:LSTM", "grip:GRIP", "fqa:FQA", "trajectron:Trajectron")
VICTIMS = ("constant_velocity:ConstantVelocity", *LEARNED)


def make_victim(target: str, **options: Any) -> TrajectoryVictim:
    """A victim in evaluation mode with weights that depend on its class alone."""
    module, name = target.split(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        victim: TrajectoryVictim = getattr(
            import_module(f"robeval.domains.trajectory.victims.{module}"), name
        )(**options)
    return victim.eval()


def crowd(
    count: int = 6, agents: int = 5, history: int = 4, horizon: int = 12, dt: float = 0.5, windows: int = 1
) -> SceneBatch:
    """Curved, braking tracks within 40 m of each other; neighbours of all kinds miss frames, the last is padding."""
    draw = torch.Generator().manual_seed(3)
    frames = history + windows - 1 + horizon

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=draw)

    time = torch.arange(frames) * dt
    speed = (uniform(2, 12, count, agents, 1) + uniform(-1, 0.5, count, agents, 1) * time).clamp_min(0)
    heading = uniform(-3, 3, count, agents, 1) + uniform(-0.2, 0.2, count, agents, 1) * time
    moves = speed.unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], dim=-1) * dt
    track = uniform(-20, 20, count, agents, 1, 2) + moves.cumsum(dim=2)
    present = torch.rand(count, agents, frames, generator=draw) > 0.2
    present[:, 0] = True
    present[:, -1] = False
    kinds = torch.tensor([SMALL_VEHICLE, SMALL_VEHICLE, PEDESTRIAN, CYCLE], dtype=torch.int8).repeat(agents)
    kind = kinds[:agents].repeat(count, 1)
    kind[:, -1] = PAD
    return SceneBatch(
        ids=tuple(f"crowd-{number}" for number in range(count)),
        track=torch.where(present.unsqueeze(-1), track, 0.0),
        present=present,
        kind=kind,
        heading=torch.full((count, agents, frames), float("nan")),
        size=torch.ones(count, agents, 2),
        dt=torch.full((count,), dt),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.ones(count, 5),
        ego=torch.full((count, frames, 2), float("nan")),
        lanes=torch.zeros(count, 0, 0, 2),
        scene=tuple(f"scene-{number}" for number in range(count)),
        regime=("medium",) * count,
        history=history,
        horizon=horizon,
        windows=windows,
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A few numbers are faster without threads, by far on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def crowd_of() -> Callable[..., SceneBatch]:
    """Makes scenes with several agents; sizes by keyword."""
    return crowd


@pytest.fixture
def seen() -> Observation:
    """What a predictor sees of six such scenes."""
    return crowd().observation()


@pytest.fixture
def build() -> Callable[..., TrajectoryVictim]:
    """Makes a victim from ``module:Class`` and its options."""
    return make_victim


@pytest.fixture(params=VICTIMS)
def victim(request: pytest.FixtureRequest) -> TrajectoryVictim:
    """Each victim in turn, untrained."""
    return make_victim(request.param)


@pytest.fixture(params=LEARNED)
def learned(request: pytest.FixtureRequest) -> str:
    """Each victim that can be trained, as ``module:Class``."""
    return str(request.param)
