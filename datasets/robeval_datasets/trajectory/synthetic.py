"""Seeded driving scenes, made on the spot."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field

from robeval.domains.trajectory.batch import SceneBatch, pad_agents
from robeval.errors import OptionError
from robeval.plugins.data import Split
from robeval.seeding import Draws, Seed
from robeval_datasets.trajectory.base import TrackDataset
from robeval_datasets.trajectory.drivers import TICK_S
from robeval_datasets.trajectory.limits import BOUNDS_HELP
from robeval_datasets.trajectory.traffic import AGENTS, VEHICLES, Traffic, simulate
from robeval_datasets.trajectory.windows import REGIMES, Candidates, assemble

FIRST_SCENE = {"train": 0, "val": 12_000_000, "test": 24_000_000}
_CHUNK = 256  # scenes simulated together: fits the processor's cache


class Synthetic(TrackDataset):
    """Seeded driving scenes: straight roads, bends and intersections with followers, brakers and lane
    changers.

    A scene is a function of (seed, scene number) alone; train, val and test are ranges of scene numbers.
    Scene n has the speed regime n modulo 3: desired speed 0.5-4, 4-9 or 9-16 m/s. The ego is in `ego` and, as
    a neighbour, among the agents; it is never a target.

    Source: robeval's own generator; car following after Treiber, Hennecke, Helbing, arXiv:cond-mat/0002177.
    """

    published = "nuscenes"

    def __init__(
        self,
        *,
        seed: Annotated[int, Field(ge=0, description="which world")] = 0,
        train_scenes: Annotated[int, Field(ge=1, le=10_000_000, description="scenes to train on")] = 2000,
        val_scenes: Annotated[int, Field(ge=1, le=10_000_000, description="scenes to calibrate on")] = 240,
        test_scenes: Annotated[int, Field(ge=1, le=10_000_000, description="scenes to attack")] = 480,
        train_targets: Annotated[
            int, Field(ge=1, le=12, description="predicted vehicles per training scene")
        ] = 3,
        targets: Annotated[
            int, Field(ge=1, le=12, description="predicted vehicles per val or test scene")
        ] = 1,
        history: Annotated[int, Field(ge=2, description="observed frames")] = 4,
        horizon: Annotated[int, Field(ge=1, description="predicted frames")] = 12,
        windows: Annotated[int, Field(ge=1, description="consecutive prediction instants")] = 1,
        dt: Annotated[float, Field(gt=0, description="seconds between frames, a multiple of 0.1")] = 0.5,
        noise_m: Annotated[float, Field(ge=0, description="standard deviation of measured positions")] = 0.03,
        dropout: Annotated[
            float, Field(ge=0, lt=1, description="share of a neighbour's frames not seen")
        ] = 0.02,
        agents: Annotated[int, Field(ge=1, le=AGENTS, description="target and nearest neighbours kept")] = 8,
        bounds: Annotated[str, Field(description=BOUNDS_HELP)] = "dataset",
    ) -> None:
        super().__init__()
        self.seed, self.noise_m, self.dropout = seed, noise_m, dropout
        self.train_scenes, self.val_scenes, self.test_scenes = train_scenes, val_scenes, test_scenes
        self.train_targets, self.targets = train_targets, targets
        self.history, self.horizon, self.windows, self.dt = history, horizon, windows, dt
        self.agents, self.bounds = agents, bounds
        ticks = dt / TICK_S
        if abs(ticks - round(ticks)) > 1e-6 or round(ticks) < 1:
            raise OptionError(
                f"dt={dt}: the simulation advances by {TICK_S} s, so dt must be a multiple of it"
            )
        self.ticks_per_frame = round(ticks)

    def examples(self, split: Split) -> SceneBatch:
        """The examples of a split; limits unknown."""
        scenes = {"train": self.train_scenes, "val": self.val_scenes, "test": self.test_scenes}[split]
        numbers = np.arange(FIRST_SCENE[split], FIRST_SCENE[split] + scenes)
        parts = np.split(numbers, range(_CHUNK, scenes, _CHUNK))
        targets = self.train_targets if split == "train" else self.targets
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # numpy lets go of the interpreter
            batches = list(pool.map(lambda part: self._chunk(part, targets), parts))
        return SceneBatch.join(pad_agents(batches))

    def observe(self, numbers: np.ndarray, targets: int, frames: int) -> "Observed":
        """The scenes of these numbers as a sensor sees them, `frames` frames long."""
        draw = Seed(self.seed).child("synthetic").draws([str(number) for number in numbers])
        truth = simulate(draw.fork("traffic"), numbers % 3, frames, self.ticks_per_frame)
        return _observe(draw.fork("sensor"), truth, targets, self.noise_m, self.dropout, self.history)

    def _chunk(self, numbers: np.ndarray, targets: int) -> SceneBatch:
        seen = self.observe(numbers, targets, self.window.frames)
        scene, target = seen.targets.nonzero(as_tuple=True)
        names = [f"synthetic-{self.seed}-{number}" for number in numbers]
        who = Candidates(
            position=seen.position[scene],
            present=seen.present[scene],
            kind=seen.kind[scene],
            heading=seen.heading[scene],
            size=seen.size[scene],
            target=target,
            ego=seen.ego[scene],
            lanes=seen.lanes[scene],
        )
        pairs = list(zip(scene.tolist(), target.tolist(), strict=True))
        ids = tuple(f"{names[i]}/{k}" for i, k in pairs)
        regime = tuple(REGIMES[int(numbers[i]) % 3] for i, _ in pairs)
        return assemble(who, self.window, self.agents, ids, tuple(names[i] for i, _ in pairs), regime)


class Observed(NamedTuple):
    """Scenes as measured, float64; `ego` is exact. Tensors [scenes, agents, frames, ...]."""

    position: torch.Tensor
    present: torch.Tensor
    kind: torch.Tensor
    heading: torch.Tensor
    size: torch.Tensor
    ego: torch.Tensor
    lanes: torch.Tensor
    targets: torch.Tensor
    """Which agents are to be predicted: [scenes, agents]; they are present in every frame."""


def _observe(
    draw: Draws, truth: Traffic, targets: int, noise_m: float, dropout: float, history: int
) -> Observed:
    """Add noise, gaps, late entries and early exits; targets and the ego are never interrupted."""
    frames = truth.position.shape[2]
    position, exists = torch.from_numpy(truth.position), torch.from_numpy(truth.exists)
    chosen = _nearest_to_ego(position, exists, min(history, frames) - 1, targets)
    steady = chosen.clone()
    steady[:, 0] = True
    entry, leave = draw.integers(max(frames // 2, 1), 2, AGENTS).unsqueeze(-1).unbind(1)
    comes_late, leaves_early = draw.coin(0.1, 2, AGENTS).unsqueeze(-1).unbind(1)
    frame = torch.arange(frames)
    gone = (comes_late & (frame < entry)) | (leaves_early & (frame >= frames - leave))
    gone |= draw.coin(dropout, AGENTS, frames)
    present = exists.unsqueeze(-1) & (steady.unsqueeze(-1) | ~gone)
    noise = draw.normal(AGENTS, frames, 2, std=noise_m, dtype=torch.float64)
    turn = draw.normal(AGENTS, frames, std=float(np.deg2rad(0.5)), dtype=torch.float64)
    heading = torch.from_numpy(truth.heading) + turn
    return Observed(
        position=position + noise,
        present=present,
        kind=torch.from_numpy(truth.kind).to(torch.int8),
        heading=torch.atan2(heading.sin(), heading.cos()),
        size=torch.from_numpy(truth.size),
        ego=position[:, 0],
        lanes=torch.from_numpy(truth.lanes),
        targets=chosen,
    )


def _nearest_to_ego(position: torch.Tensor, exists: torch.Tensor, now: int, targets: int) -> torch.Tensor:
    """The `targets` vehicles that are nearest to the ego in frame `now`: bool [scenes, agents]."""
    away = (position[:, :, now] - position[:, :1, now]).norm(dim=-1)
    away = torch.where(exists, away, torch.inf)
    away[:, 0] = torch.inf
    away[:, VEHICLES:] = torch.inf
    order = away.argsort(dim=1, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(AGENTS).expand_as(order).contiguous())
    return (rank < targets) & away.isfinite()
