"""Scenes of road users, and what a predictor is asked and answers.

Positions are metres in a local frame (x east, y north); `origin` leads back to the source's frame in float64.
Agent 0 of every scene is the target: the one that is predicted and, under attack, the one that the adversary drives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int8
from torch import Tensor

from robeval.arrays import Batch

PAD, SMALL_VEHICLE, BIG_VEHICLE, PEDESTRIAN, CYCLE, OTHER = range(6)
VEHICLES = (SMALL_VEHICLE, BIG_VEHICLE)


@dataclass(frozen=True)
class Observation(Batch):
    """What a predictor sees: past positions, and nothing that was derived from clean ones.

    Absent agents and frames have `present` False and position 0; presence is never read off the coordinates.
    """

    past: Float[Tensor, "rows agents history 2"]
    present: Bool[Tensor, "rows agents history"]
    kind: Int8[Tensor, "rows agents"]
    dt: Float[Tensor, " rows"]
    horizon: int

    def with_target_past(self, past: Float[Tensor, "rows history 2"]) -> "Observation":
        """The same scene with another history of the target."""
        return self.replace(past=torch.cat([past.unsqueeze(1), self.past[:, 1:]], dim=1))


class Prediction(NamedTuple):
    """Where the target may go: `modes` paths and their probabilities.

    From `predict`: paths [rows, modes, horizon, 2], probability [rows, modes]. From `forward` on scenes there is a
    `windows` axis behind the first one.
    """

    paths: Tensor
    probability: Tensor

    def most_likely(self) -> Tensor:
        """The path of the most likely mode: [..., horizon, 2]."""
        best = self.probability.argmax(dim=-1)
        index = best[..., None, None, None].expand(*best.shape, 1, *self.paths.shape[-2:])
        return self.paths.gather(-3, index).squeeze(-3)


@dataclass(frozen=True)
class SceneBatch(Batch):
    """Scenes with their whole track: `history` observed frames, `windows` consecutive prediction instants, `horizon`.

    ``frames = history + windows - 1 + horizon``. Window k sees frames [k, k + history) and is judged on the
    `horizon` frames behind them. The adversary controls the first ``history + windows - 1`` frames of agent 0.
    """

    track: Float[Tensor, "batch agents frames 2"]
    present: Bool[Tensor, "batch agents frames"]
    kind: Int8[Tensor, "batch agents"]
    heading: Float[Tensor, "batch agents frames"]
    """Radians counter-clockwise from +x; NaN where the source has none. For attacks and planners, never for victims."""
    size: Float[Tensor, "batch agents 2"]
    """Length and width, metres."""
    dt: Float[Tensor, " batch"]
    """Seconds between frames."""
    origin: Float64[Tensor, "batch 2"]
    limits: Float[Tensor, "batch 5"]
    """Kinematic bounds in per-frame units: speed, then acceleration and jerk, longitudinal before lateral."""
    ego: Float[Tensor, "batch frames 2"]
    """The victim vehicle's own track; NaN where the scene has no ego."""
    lanes: Float[Tensor, "batch lanes points 2"]
    """Lane centre lines; NaN-padded; zero lanes where there is no map."""
    scene: tuple[str, ...]
    """The recording that an example comes from: examples of one scene are not independent."""
    regime: tuple[str, ...]
    """Speed regime of the target: low, medium, high or stationary."""
    history: int
    horizon: int
    windows: int

    @property
    def attacked(self) -> int:
        """Frames that the adversary controls."""
        return self.history + self.windows - 1

    @property
    def target(self) -> Tensor:
        """The target's track: [batch, frames, 2]."""
        return self.track[:, 0]

    def future(self) -> Float[Tensor, "batch windows horizon 2"]:
        """The true continuation behind each window."""
        return self.target[:, self.history :].unfold(1, self.horizon, 1).transpose(-1, -2)

    def future_present(self) -> Bool[Tensor, "batch windows horizon"]:
        """Where the truth is known."""
        return self.present[:, 0, self.history :].unfold(1, self.horizon, 1)

    def observation(self) -> Observation:
        """Every window of every scene as one row, the windows of a scene adjacent."""
        frames = self.track[:, :, : self.attacked]
        present = self.present[:, :, : self.attacked]
        if self.windows == 1:
            return Observation(self.ids, frames, present, self.kind, self.dt, self.horizon)
        count = self.windows
        past = frames.unfold(2, self.history, 1).permute(0, 2, 1, 4, 3).flatten(0, 1)
        seen = present.unfold(2, self.history, 1).permute(0, 2, 1, 3).flatten(0, 1)
        ids = tuple(f"{name}@{k}" for name in self.ids for k in range(count))
        kind, dt = self.kind.repeat_interleave(count, 0), self.dt.repeat_interleave(count, 0)
        return Observation(ids, past, seen, kind, dt, self.horizon)

    def moved(self, offset: Float[Tensor, "batch attacked 2"]) -> "SceneBatch":
        """The scenes with the target's first `attacked` frames displaced by `offset` (metres)."""
        moved = self.target[:, : self.attacked] + offset
        target = torch.cat([moved, self.target[:, self.attacked :]], dim=1)
        return self.replace(track=torch.cat([target.unsqueeze(1), self.track[:, 1:]], dim=1))

    def offset_from(self, clean: "SceneBatch") -> Float[Tensor, "batch attacked 2"]:
        """How far the target was displaced from `clean`, frame by frame."""
        return (self.target - clean.target)[:, : self.attacked]


def pad_agents(batches: Sequence[SceneBatch]) -> list[SceneBatch]:
    """The same batches with as many agents and lanes as the fullest one, so that they can be joined."""
    agents = max(batch.track.shape[1] for batch in batches)
    lanes = max(batch.lanes.shape[1] for batch in batches)
    points = max(batch.lanes.shape[2] for batch in batches)
    return [_padded(batch, agents, lanes, points) for batch in batches]


def _padded(batch: SceneBatch, agents: int, lanes: int, points: int) -> SceneBatch:
    more = agents - batch.track.shape[1]
    pad = torch.nn.functional.pad
    more_lanes, more_points = lanes - batch.lanes.shape[1], points - batch.lanes.shape[2]
    return batch.replace(
        track=pad(batch.track, (0, 0, 0, 0, 0, more)),
        present=pad(batch.present, (0, 0, 0, more)),
        kind=pad(batch.kind, (0, more)),
        heading=pad(batch.heading, (0, 0, 0, more), value=float("nan")),
        size=pad(batch.size, (0, 0, 0, more)),
        lanes=pad(batch.lanes, (0, 0, 0, more_points, 0, more_lanes), value=float("nan")),
    )
