"""Toy scenes whose every figure can be computed by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.batch import PAD, SMALL_VEHICLE, Prediction, SceneBatch

HISTORY, HORIZON, DT = 4, 12, 0.5
SceneOf = Callable[..., SceneBatch]


def build(
    tracks: Tensor, *, history: int = HISTORY, windows: int = 1, dt: float = DT, **changes: Any
) -> SceneBatch:
    """Scenes around target `tracks` [batch, frames, 2]: a standing neighbour, no ego, no lanes."""
    count, frames, _ = tracks.shape
    neighbour = torch.tensor([0.0, 50.0]).expand(count, frames, 2)
    present = torch.ones(count, 3, frames, dtype=torch.bool)
    present[:, 2] = False
    track = torch.stack([tracks.float(), neighbour, torch.zeros(count, frames, 2)], dim=1)
    step = tracks.diff(dim=1, append=2 * tracks[:, -1:] - tracks[:, -2:-1])
    heading = torch.full((count, 3, frames), float("nan"))
    heading[:, 0] = torch.atan2(step[..., 1], step[..., 0])
    heading[:, 1] = 0.0
    scenes = SceneBatch(
        ids=tuple(f"toy-{number}" for number in range(count)),
        track=track,
        present=present,
        kind=torch.tensor([[SMALL_VEHICLE, SMALL_VEHICLE, PAD]], dtype=torch.int8).repeat(count, 1),
        heading=heading,
        size=torch.tensor([[[4.0, 2.0], [4.0, 2.0], [0.0, 0.0]]]).repeat(count, 1, 1),
        dt=torch.full((count,), dt),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.tensor([[8.599, 1.275, 0.468, 1.957, 0.535]]).repeat(count, 1),
        ego=torch.full((count, frames, 2), float("nan")),
        lanes=torch.zeros(count, 0, 0, 2),
        scene=tuple(f"recording-{number // 2}" for number in range(count)),
        regime=("medium",) * count,
        history=history,
        horizon=frames - history - windows + 1,
        windows=windows,
    )
    return scenes.replace(**changes)


def straight(speed_m_s: float, frames: int = HISTORY + HORIZON, dt: float = DT) -> Tensor:
    """A steady track along +x, at the origin in the last observed frame: [1, frames, 2]."""
    x = (torch.arange(frames) - (HISTORY - 1)) * speed_m_s * dt
    return torch.stack([x, torch.zeros(frames)], dim=-1).unsqueeze(0)


@pytest.fixture
def scene_of() -> SceneOf:
    """Makes scenes from target tracks [batch, frames, 2]; fields can be changed by keyword."""
    return build


@pytest.fixture
def straight_track() -> Callable[..., Tensor]:
    """Makes a track [1, frames, 2] along +x at a given speed, at the origin in the last observed frame."""
    return straight


@pytest.fixture
def straight_scene() -> SceneBatch:
    """One target that drives along +x at 5 m/s: 4 observed frames, 12 to predict, 0.5 s apart."""
    return build(straight(5.0))


@pytest.fixture
def turning_scenes() -> SceneBatch:
    """Six targets on circles (both ways, 2 to 12 m/s, radius 15 to 60 m), two windows each."""
    speed = torch.tensor([2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    radius = torch.tensor([15.0, -15.0, 30.0, -30.0, 60.0, -60.0])
    time = torch.arange(HISTORY + HORIZON + 1) * DT
    angle = (speed / radius).unsqueeze(1) * time
    x = radius.unsqueeze(1) * angle.sin()
    y = radius.unsqueeze(1) * (1 - angle.cos())
    return build(torch.stack([x, y], dim=-1), windows=2)


@pytest.fixture
def predict() -> Callable[..., Prediction]:
    """Makes a prediction for scenes: the truth, displaced by one (dx, dy) per mode."""

    def make(
        scenes: SceneBatch, *offsets: tuple[float, float], probability: tuple[float, ...] = ()
    ) -> Prediction:
        shift = torch.tensor(offsets or [(0.0, 0.0)])
        paths = scenes.future().unsqueeze(2) + shift.view(1, 1, -1, 1, 2)
        weight = torch.tensor(probability or [1.0 / len(shift)] * len(shift))
        return Prediction(paths, weight.expand(*paths.shape[:2], -1).clone())

    return make
