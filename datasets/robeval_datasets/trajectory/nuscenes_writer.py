"""Simulated scenes as a nuScenes database that the devkit loads, with challenge split and map expansion."""

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray as Array

from robeval.domains.trajectory.batch import BIG_VEHICLE, CYCLE, PEDESTRIAN, SMALL_VEHICLE, VEHICLES
from robeval.errors import UsageError
from robeval_datasets.trajectory.devkit import DT_S
from robeval_datasets.trajectory.nuscenes_maps import LOCATIONS, map_table
from robeval_datasets.trajectory.written import WrittenScene

LOCATION = LOCATIONS[0]
_PAST, _FUTURE = 3, 12  # challenge: 2 s of past is four samples, 6 s of future
_CHALLENGE_EVERY = 6
_START_US = 1_530_000_000_000_000
_SCENE_GAP_US = 60_000_000
_CATEGORY = {
    SMALL_VEHICLE: ("vehicle.car", "vehicle.moving"),
    BIG_VEHICLE: ("vehicle.truck", "vehicle.moving"),
    PEDESTRIAN: ("human.pedestrian.adult", "pedestrian.moving"),
    CYCLE: ("vehicle.bicycle", "cycle.with_rider"),
}
_HEIGHT_M = {SMALL_VEHICLE: 1.6, BIG_VEHICLE: 3.2, PEDESTRIAN: 1.7, CYCLE: 1.6}
MINI = {
    "train": ("scene-0061", "scene-0553", "scene-0655", "scene-0796", "scene-1077", "scene-1094"),
    "val": ("scene-0757", "scene-1100"),
    "test": ("scene-0103", "scene-0916"),
}
"""The devkit's hard-coded mini scenes by robeval's splits (every fourth mini_train scene is val)."""


def names_for(scenes: int) -> tuple[str, dict[str, list[str]]]:
    """The version whose split tables have room for `scenes`, and the scene names to use by split.

    Six tenths train, two tenths val and test each. Raises UsageError for more scenes than the splits have
    names.
    """
    if scenes < 3:
        raise UsageError(f"scenes={scenes}: a nuScenes folder needs at least 3, one per split")
    version, pools = ("v1.0-mini", MINI) if scenes <= 10 else ("v1.0-trainval", _trainval())
    held = max(1, round(0.2 * scenes))
    counts = {"train": scenes - 2 * held, "val": held, "test": held}
    short = [split for split, count in counts.items() if count > len(pools[split])]
    if short:
        raise UsageError(f"scenes={scenes}: nuScenes has names for at most 750")
    return version, {split: list(pools[split][:count]) for split, count in counts.items()}


def _trainval() -> dict[str, list[str]]:
    from robeval_datasets.trajectory.devkit import scene_names

    return {split: scene_names("v1.0-trainval", split) for split in ("train", "val", "test")}


def token(*parts: object) -> str:
    """A hexadecimal token, the same for the same parts."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def write_database(folder: Path, version: str, scenes: list[WrittenScene]) -> None:
    """Tables, challenge split, map expansions and map image below `folder`."""
    tables = _fixed_tables()
    listed: dict[str, list[str]] = {}
    for number, scene in enumerate(scenes):
        listed[scene.name] = _add_scene(
            tables, scene, _START_US + number * (_SCENE_GAP_US + scene.duration_us)
        )
    tables["map"][0]["log_tokens"] = [log["token"] for log in tables["log"]]
    _dump(folder / version, {f"{name}.json": rows for name, rows in tables.items()})
    _dump(folder / "maps" / "prediction", {"prediction_scenes.json": listed})
    lanes = [lane for scene in scenes for lane in scene.lanes]
    edge = np.max(
        [scene.position[scene.present].max(axis=0) for scene in scenes]
        + [lane.max(axis=0) for lane in lanes],
        0,
    )
    maps = {f"{name}.json": map_table(lanes if name == LOCATION else [], edge + 50.0) for name in LOCATIONS}
    _dump(folder / "maps" / "expansion", maps)
    (folder / tables["map"][0]["filename"]).write_bytes(_grey_pixel())


def _dump(folder: Path, files: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def _fixed_tables() -> dict[str, list[dict[str, Any]]]:
    """Every table, with the rows that do not depend on the scenes."""
    categories = [
        {"token": token("category", name), "name": name, "description": ""} for name, _ in _CATEGORY.values()
    ]
    actions = sorted({action for _, action in _CATEGORY.values()})
    channels = (("LIDAR_TOP", "lidar"), ("CAM_FRONT", "camera"))
    return {
        "category": categories,
        "attribute": [
            {"token": token("attribute", name), "name": name, "description": ""} for name in actions
        ],
        "visibility": [{"token": str(k), "level": f"v{k}", "description": ""} for k in range(1, 5)],
        "sensor": [
            {"token": token("sensor", name), "channel": name, "modality": kind} for name, kind in channels
        ],
        "calibrated_sensor": [
            {
                "token": token("calibrated", name),
                "sensor_token": token("sensor", name),
                "translation": [0.0, 0.0, 1.5],
                "rotation": [1.0, 0.0, 0.0, 0.0],
                "camera_intrinsic": []
                if kind == "lidar"
                else [[1266.4, 0.0, 800.0], [0.0, 1266.4, 450.0], [0.0, 0.0, 1.0]],
            }
            for name, kind in channels
        ],
        "map": [
            {
                "token": token("map"),
                "log_tokens": [],
                "category": "semantic_prior",
                "filename": "maps/robeval.png",
            }
        ],
        **{
            name: []
            for name in ("instance", "ego_pose", "log", "scene", "sample", "sample_data", "sample_annotation")
        },
    }


def _add_scene(tables: dict[str, list[dict[str, Any]]], scene: WrittenScene, start_us: int) -> list[str]:
    """The rows of one scene; returns its challenge instances ("instance_sample")."""
    frames = scene.position.shape[1]
    samples = [token(scene.name, "sample", k) for k in range(frames)]
    times = [start_us + round(k * DT_S * 1e6) for k in range(frames)]
    log = token(scene.name, "log")
    tables["log"].append(
        {
            "token": log,
            "logfile": scene.name,
            "vehicle": "simulated",
            "date_captured": "2018-06-26",
            "location": LOCATION,
        }
    )
    tables["scene"].append(
        {
            "token": token(scene.name),
            "name": scene.name,
            "description": scene.description,
            "log_token": log,
            "nbr_samples": frames,
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
        }
    )
    for k in range(frames):
        chain = {"prev": samples[k - 1] if k else "", "next": samples[k + 1] if k + 1 < frames else ""}
        tables["sample"].append(
            {"token": samples[k], "timestamp": times[k], "scene_token": token(scene.name), **chain}
        )
        _add_sensors(tables, scene, samples[k], times[k], k)
    instances = [_add_agent(tables, scene, agent, samples) for agent in range(len(scene.kind))]
    complete = _challenge_frames(scene.present) & np.isin(scene.kind, VEHICLES)[:, None]
    return [f"{instances[agent]}_{samples[k]}" for agent, k in np.argwhere(complete)]


def _add_sensors(
    tables: dict[str, list[dict[str, Any]]], scene: WrittenScene, sample: str, time: int, k: int
) -> None:
    """Key frames of lidar and front camera, each with the ego's pose; the files behind them do not exist."""
    frames = scene.position.shape[1]
    for channel, ending, width, height in (("LIDAR_TOP", "pcd", 0, 0), ("CAM_FRONT", "jpg", 1600, 900)):
        pose = token(scene.name, "pose", channel, k)
        tables["ego_pose"].append(
            {
                "token": pose,
                "timestamp": time,
                "translation": [*scene.ego[k].tolist(), 0.0],
                "rotation": quaternion(float(scene.ego_heading[k])),
            }
        )
        tables["sample_data"].append(
            {
                "token": token(scene.name, channel, k),
                "sample_token": sample,
                "ego_pose_token": pose,
                "calibrated_sensor_token": token("calibrated", channel),
                "filename": f"samples/{channel}/{scene.name}_{k}.{ending}",
                "fileformat": ending,
                "width": width,
                "height": height,
                "timestamp": time,
                "is_key_frame": True,
                "prev": token(scene.name, channel, k - 1) if k else "",
                "next": token(scene.name, channel, k + 1) if k + 1 < frames else "",
            }
        )


def _add_agent(
    tables: dict[str, list[dict[str, Any]]], scene: WrittenScene, agent: int, samples: list[str]
) -> str:
    """An instance and its annotations; returns the instance's token."""
    instance = token(scene.name, "instance", agent)
    kind = int(scene.kind[agent])
    category, action = _CATEGORY[kind]
    length, width = scene.size[agent].tolist()
    seen = np.nonzero(scene.present[agent])[0].tolist()
    notes = [token(scene.name, "annotation", agent, k) for k in seen]
    tables["instance"].append(
        {
            "token": instance,
            "category_token": token("category", category),
            "nbr_annotations": len(seen),
            "first_annotation_token": notes[0],
            "last_annotation_token": notes[-1],
        }
    )
    for place, k in enumerate(seen):
        tables["sample_annotation"].append(
            {
                "token": notes[place],
                "sample_token": samples[k],
                "instance_token": instance,
                "attribute_tokens": [token("attribute", action)],
                "visibility_token": "4",
                "translation": [*scene.position[agent, k].tolist(), _HEIGHT_M[kind] / 2],
                "size": [width, length, _HEIGHT_M[kind]],
                "rotation": quaternion(float(scene.heading[agent, k])),
                "num_lidar_pts": 50,
                "num_radar_pts": 1,
                "prev": notes[place - 1] if place else "",
                "next": notes[place + 1] if place + 1 < len(notes) else "",
            }
        )
    return instance


def _challenge_frames(present: Bool[Array, "agents frames"]) -> Bool[Array, "agents frames"]:
    """Where a vehicle has the whole past and future of the challenge, every third second."""
    agents, frames = present.shape
    chosen = np.zeros((agents, frames), dtype=bool)
    for k in range(_PAST, frames - _FUTURE, _CHALLENGE_EVERY):
        chosen[:, k] = present[:, k - _PAST : k + _FUTURE + 1].all(axis=1)
    return chosen


def quaternion(heading: float) -> list[float]:
    """Rotation about z by `heading` as w, x, y, z."""
    return [float(np.cos(heading / 2)), 0.0, 0.0, float(np.sin(heading / 2))]


def _grey_pixel() -> bytes:
    """A PNG of one grey pixel: the devkit wants a map image to exist."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00\x80"))
        + chunk(b"IEND", b"")
    )
