"""Simulated scenes as they are written to files: one non-negative frame, gaps kept, nobody without a
frame."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray as Array

from robeval_datasets.trajectory.synthetic import Synthetic

_MARGIN_M, _BETWEEN_M, _ROW_M = 50.0, 50.0, 1500.0


@dataclass(frozen=True)
class WrittenScene:
    """One scene; metres in the file's frame, the ego apart from the agents."""

    name: str
    description: str
    position: Float[Array, "agents frames 2"]
    heading: Float[Array, "agents frames"]
    present: Bool[Array, "agents frames"]
    kind: Int[Array, " agents"]
    size: Float[Array, "agents 2"]
    ego: Float[Array, "frames 2"]
    ego_heading: Float[Array, " frames"]
    lanes: tuple[Float[Array, "_ 2"], ...]
    dt: float

    @property
    def duration_us(self) -> int:
        """From the first frame to the last, microseconds."""
        return round((self.position.shape[1] - 1) * self.dt * 1e6)


def scenes_to_write(
    world: Synthetic, numbers: Int[Array, " scenes"], names: list[str], frames: int
) -> list[WrittenScene]:
    """The scenes of these numbers, side by side on one map with positive coordinates."""
    seen = world.observe(numbers, targets=world.train_targets, frames=frames)
    made: list[WrittenScene] = []
    corner, height = np.array([_MARGIN_M, _MARGIN_M]), 0.0
    for row, name in enumerate(names):
        present = seen.present[row].numpy().copy()
        present[0] = False  # the ego is written as a pose, not as an annotation
        agents = present.any(axis=1)
        driven = np.concatenate([seen.position[row].numpy()[present], seen.ego[row].numpy()])
        lanes = _near(seen.lanes[row].numpy(), driven)
        everything = np.concatenate([driven, *lanes])
        shift, extent = corner - everything.min(axis=0), np.ptp(everything, axis=0)
        height = max(height, extent[1])
        corner = corner + np.array([extent[0] + _BETWEEN_M, 0.0])
        if corner[0] > _ROW_M:
            corner, height = np.array([_MARGIN_M, corner[1] + height + _BETWEEN_M]), 0.0
        made.append(
            WrittenScene(
                name=name,
                description=f"robeval synthetic scene {numbers[row]}, seed {world.seed}",
                position=seen.position[row].numpy()[agents] + shift,
                heading=seen.heading[row].numpy()[agents],
                present=present[agents],
                kind=seen.kind[row].numpy()[agents].astype(np.int64),
                size=seen.size[row].numpy()[agents],
                ego=seen.ego[row].numpy() + shift,
                ego_heading=seen.heading[row, 0].numpy(),
                lanes=tuple(line + shift for line in lanes),
                dt=world.dt,
            )
        )
    return made


def _near(lanes: Float[Array, "lanes points 2"], driven: Float[Array, "positions 2"]) -> list[Array]:
    """The stretch of every lane that lies around where anybody was."""
    low, high = driven.min(axis=0) - _MARGIN_M, driven.max(axis=0) + _MARGIN_M
    inside = ((lanes >= low) & (lanes <= high)).all(axis=2)
    stretches = [np.nonzero(points)[0] for points in inside]
    return [line[at[0] : at[-1] + 1] for line, at in zip(lanes, stretches, strict=True) if len(at) > 1]
