"""Small pieces around the nuScenes devkit: time grid, categories, poses, splits, lanes. The devkit is
imported late."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from robeval.domains.trajectory.batch import BIG_VEHICLE, CYCLE, OTHER, PEDESTRIAN, SMALL_VEHICLE
from robeval.errors import DataError, OptionError

DT_S = 0.5
TIME_TOLERANCE_S = 0.15
LANE_SPACING_M = 4.0
_LANE_POINTS = 16
_BREAK = 5  # empty frames (2.5 s) where the recording does not keep time: nobody is followed across it
_KIND_BY_PREFIX = (
    ("human.pedestrian", PEDESTRIAN),
    ("vehicle.bicycle", CYCLE),
    ("vehicle.motorcycle", CYCLE),
    ("vehicle.bus", BIG_VEHICLE),
    ("vehicle.construction", BIG_VEHICLE),
    ("vehicle.truck", BIG_VEHICLE),
    ("vehicle.trailer", BIG_VEHICLE),
    ("vehicle.", SMALL_VEHICLE),
)


def kind_of(category: str) -> int:
    """The kind behind a category's name; OTHER for animals, barriers and the like."""
    return next((kind for prefix, kind in _KIND_BY_PREFIX if category.startswith(prefix)), OTHER)


def yaw(rotation: list[float]) -> float:
    """Rotation about z of a quaternion w, x, y, z, radians counter-clockwise from +x."""
    w, x, y, z = rotation
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def regrid(times_s: Float[Array, " samples"], where: str = "scene") -> Int[Array, " samples"]:
    """The frame of every sample on a 0.5 s grid.

    Steps are counted from sample to sample, so a slow drift of the clock does no harm. A step that is more
    than 0.15 s off the grid breaks the recording: empty frames keep windows from spanning it.
    """
    steps = np.diff(times_s) / DT_S
    whole = np.maximum(np.round(steps), 1)
    off = np.abs(steps - whole) * DT_S > TIME_TOLERANCE_S
    if off.any():
        warnings.warn(
            f"{where}: {int(off.sum())} steps between samples are more than {TIME_TOLERANCE_S} s "
            f"off the {DT_S} s grid; no example spans them",
            stacklevel=2,
        )
    return np.asarray(np.concatenate([[0], np.cumsum(whole + _BREAK * off)]), dtype=np.int64)


def samples_of(devkit: Any, scene: dict[str, Any]) -> list[dict[str, Any]]:
    """A scene's samples in order."""
    found, token = [], scene["first_sample_token"]
    while token:
        found.append(devkit.get("sample", token))
        token = found[-1]["next"]
    return found


def ego_pose(devkit: Any, sample: dict[str, Any]) -> dict[str, Any] | None:
    """Where the recording vehicle was, from its front camera or else its lidar."""
    for channel in ("CAM_FRONT", "LIDAR_TOP"):
        if channel in sample["data"]:
            data = devkit.get("sample_data", sample["data"][channel])
            pose: dict[str, Any] = devkit.get("ego_pose", data["ego_pose_token"])
            return pose
    return None


def scene_names(version: str, split: str) -> list[str]:
    """The scenes of a split, as the prediction challenge divides them.

    Raises OptionError for versions without labels.
    """
    from nuscenes.eval.prediction.splits import NUM_IN_TRAIN_VAL
    from nuscenes.utils.splits import create_splits_scenes

    known = create_splits_scenes()
    if version.endswith("mini"):
        mini = known["mini_train"]
        parts = {
            "train": [s for k, s in enumerate(mini) if k % 4 != 3],
            "val": mini[3::4],
            "test": known["mini_val"],
        }
    elif version.endswith("trainval"):
        train = known["train"]
        parts = {"train": train[NUM_IN_TRAIN_VAL:], "val": train[:NUM_IN_TRAIN_VAL], "test": known["val"]}
    else:
        raise OptionError(
            f"version='{version}': only v1.0-mini and v1.0-trainval have annotations to predict"
        )
    return list(parts[split])


def centre_lines(root: str, location: str) -> Float[Array, "lanes points 2"]:
    """The lanes of a map as pieces of 16 points, 4 m apart; the last piece of a lane is padded with NaN.

    Raises DataError when the map cannot be read.
    """
    from nuscenes.map_expansion.map_api import NuScenesMap

    try:
        lines = NuScenesMap(dataroot=root, map_name=location).discretize_centerlines(LANE_SPACING_M)
    except Exception as error:
        path = Path(root) / "maps" / "expansion" / f"{location}.json"
        raise DataError(
            f"{path} is no map expansion 1.3 ({error!r}); use maps=false to go without lanes"
        ) from error
    pieces = [
        line[start : start + _LANE_POINTS, :2]
        for line in lines
        for start in range(0, max(len(line) - 1, 0), _LANE_POINTS - 1)
    ]
    padded = np.full((len(pieces), _LANE_POINTS, 2), np.nan)
    for k, piece in enumerate(pieces):
        padded[k, : len(piece)] = piece
    return padded
