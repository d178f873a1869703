"""Synthetic scenes as the files of a public dataset."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from robeval.errors import UsageError
from robeval_datasets.trajectory.ngsim import FOOT_M, RECORDED_DT_S
from robeval_datasets.trajectory.nuscenes_writer import names_for, write_database
from robeval_datasets.trajectory.synthetic import FIRST_SCENE, Synthetic
from robeval_datasets.trajectory.written import WrittenScene, scenes_to_write

Format = Literal["nuscenes", "apolloscape", "ngsim"]
FRAMES = {"nuscenes": 40, "apolloscape": 40, "ngsim": 200}
"""Frames per scene: 20 s at the format's own rate."""
_DT_S = {"nuscenes": 0.5, "apolloscape": 0.5, "ngsim": RECORDED_DT_S}
_NGSIM_START_MS = 1_118_846_980_200
_NGSIM_CLASS = {1: 2, 2: 3, 4: 1}


def write(format: str, folder: Path, *, scenes: int = 10, **synthetic_options: Any) -> str:
    """Write `scenes` synthetic scenes of 20 s as a folder that the format's own tools load; says what was
    written.

    Other options are those of `Synthetic` (seed, noise_m, dropout...). Raises UsageError for an unknown
    format and for a folder that exists and is not empty; nothing is left behind when writing fails.
    """
    if format not in get_args(Format):
        raise UsageError(f"format '{format}' is none of {', '.join(get_args(Format))}")
    if "dt" in synthetic_options:
        raise UsageError(f"dt cannot be chosen: {format} has {_DT_S[format]} s between frames")
    world = Synthetic(dt=_DT_S[format], **synthetic_options)
    return export_synthetic(world, format, Path(folder), scenes)


def export_synthetic(world: Synthetic, format: str, folder: Path, scenes: int = 10) -> str:
    """Write the first scenes of `world`, whose `dt` must be the format's own."""
    if abs(world.dt - _DT_S[format]) > 1e-9:
        raise UsageError(f"dt={world.dt}: {format} has {_DT_S[format]} s between frames")
    writer = {"nuscenes": _nuscenes, "apolloscape": _apolloscape, "ngsim": _ngsim}[format]
    return _atomically(folder, lambda place: writer(place, world, scenes))


def _atomically(folder: Path, fill: Callable[[Path], str]) -> str:
    """Fill a folder beside the wanted one, then rename it: it is there whole or not at all."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already and is not an empty folder; name a new one or empty it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        told = fill(place)
        place.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        place.rename(folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return f"{folder}: {told}".replace("root=...", f"root={folder}")


def _nuscenes(folder: Path, world: Synthetic, scenes: int) -> str:
    version, names = names_for(scenes)
    numbers = np.concatenate([FIRST_SCENE[split] + np.arange(len(names[split])) for split in names])
    made = scenes_to_write(
        world, numbers, [name for split in names for name in names[split]], FRAMES["nuscenes"]
    )
    write_database(folder, version, made)
    counts = ", ".join(f"{len(group)} {split}" for split, group in names.items())
    return (
        f"{scenes} scenes ({counts}) of {FRAMES['nuscenes']} samples at 2 Hz in the nuScenes "
        f"schema, version {version}, "
        "with prediction_scenes.json and map expansions. Read it with: --dataset "
        f"nuscenes:root=...,version={version}"
    )


def _apolloscape(folder: Path, world: Synthetic, scenes: int) -> str:
    numbers = FIRST_SCENE["train"] + np.arange(scenes)
    for scene in scenes_to_write(world, numbers, _numbered(scenes), FRAMES["apolloscape"]):
        lines = [
            f"{k} {agent + 1} {kind} {x!r} {y!r} 0.0 {length!r} {width!r} 1.6 {heading!r}"
            for k, agent, kind, x, y, length, width, heading in _rows(scene)
        ]
        (folder / f"{scene.name}.txt").write_text("\n".join(lines) + "\n")
    frames = FRAMES["apolloscape"]
    return f"{scenes} recordings of {frames} frames at 2 Hz in the ApolloScape layout (10 columns)."


def _ngsim(folder: Path, world: Synthetic, scenes: int) -> str:
    numbers = FIRST_SCENE["train"] + np.arange(scenes)
    for scene in scenes_to_write(world, numbers, _numbered(scenes), FRAMES["ngsim"]):
        total = scene.present.sum(axis=1)
        rows = sorted(
            _rows(scene), key=lambda row: (row[1], row[0])
        )  # vehicle by vehicle, as in the originals
        lines = [
            f"{agent + 1} {k + 1} {total[agent]} {_NGSIM_START_MS + 100 * k} "
            f"{_feet(x, y, x, y, length, width)} {_NGSIM_CLASS[kind]} 0 0 1 0 0 0 0"
            for k, agent, kind, x, y, length, width, _ in rows
            if kind in _NGSIM_CLASS
        ]
        (folder / f"{scene.name}.txt").write_text("\n".join(lines) + "\n")
    frames = FRAMES["ngsim"]
    return f"{scenes} recordings of {frames} frames at 10 Hz in the NGSIM text layout (18 columns, feet)."


def _feet(*metres: float) -> str:
    return " ".join(repr(value / FOOT_M) for value in metres)


def _numbered(scenes: int) -> list[str]:
    return [f"scene-{number:04d}" for number in range(scenes)]


def _rows(scene: WrittenScene) -> list[tuple[int, int, int, float, float, float, float, float]]:
    """frame, agent, kind, x, y, length, width, heading of everybody who is seen, frame by frame."""
    frame, agent = scene.present.T.nonzero()
    place, size = scene.position[agent, frame], scene.size[agent]
    columns = (frame, agent, scene.kind[agent], place[:, 0], place[:, 1], size[:, 0], size[:, 1])
    return list(zip(*(column.tolist() for column in (*columns, scene.heading[agent, frame])), strict=True))
