"""nuScenes through its own devkit."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy import ndarray as Array
from pydantic import Field

from robeval.domains.trajectory.batch import OTHER, SMALL_VEHICLE, SceneBatch, pad_agents
from robeval.errors import DataError, MissingExtra, MissingFile
from robeval.plugins.data import Split
from robeval_datasets.trajectory.base import RecordedDataset
from robeval_datasets.trajectory.devkit import (
    DT_S,
    centre_lines,
    ego_pose,
    kind_of,
    regrid,
    samples_of,
    scene_names,
    yaw,
)
from robeval_datasets.trajectory.limits import BOUNDS_HELP
from robeval_datasets.trajectory.recordings import (
    ALLOW_HELP,
    Recording,
    Rows,
    allowed_kinds,
    gather,
    is_complete,
    recording,
)
from robeval_datasets.trajectory.tables import existing_folder

HOW_TO_GET_IT = (
    "Download nuScenes from nuscenes.org (v1.0-mini suffices; the map expansion gives lanes) "
    "and name the folder that "
    "holds v1.0-mini/ and maps/: --dataset nuscenes:root=FOLDER,version=v1.0-mini. Or write a small one: "
    "robeval export synthetic --format nuscenes FOLDER"
)
CHALLENGE_FILE = Path("maps", "prediction", "prediction_scenes.json")
EGO_SIZE_M = (4.084, 1.730)  # the recording Renault Zoe
_EGO = -1


class NuScenes(RecordedDataset):
    """nuScenes (2 Hz) through nuscenes-devkit: annotated tracks, the ego's pose, lanes where the map is
    present.

    `protocol=windows` takes every complete window of every moving vehicle, `protocol=challenge` the instances
    of the prediction challenge. Train, val and test are the challenge's train, train_val and val scenes; of
    the mini set every fourth mini_train scene is val and mini_val is test.

    Source: Caesar et al., arXiv:1903.11027; nuscenes-devkit 1.2.
    """

    published = "nuscenes"

    def __init__(
        self,
        *,
        root: Annotated[str, Field(description="folder that holds the version's folder and maps/")] = "",
        version: Annotated[str, Field(description="v1.0-mini or v1.0-trainval")] = "v1.0-mini",
        protocol: Annotated[Literal["windows", "challenge"], Field(description="which targets")] = "windows",
        maps: Annotated[bool, Field(description="read lanes from the map expansion, where present")] = True,
        parked: Annotated[
            bool, Field(description="parked vehicles may be targets (protocol=windows)")
        ] = False,
        stride: Annotated[int, Field(ge=1, description="frames between the starts of examples")] = 1,
        history: Annotated[int, Field(ge=2, description="observed frames, 0.5 s apart")] = 4,
        horizon: Annotated[int, Field(ge=1, description="predicted frames")] = 12,
        windows: Annotated[int, Field(ge=1, description="consecutive prediction instants")] = 1,
        agents: Annotated[int, Field(ge=1, description="target and nearest neighbours kept")] = 8,
        allow_types: Annotated[str, Field(description=ALLOW_HELP)] = "vehicles",
        bounds: Annotated[str, Field(description=BOUNDS_HELP)] = "dataset",
    ) -> None:
        super().__init__()
        self.root, self.version, self.protocol, self.maps, self.parked = root, version, protocol, maps, parked
        self.stride, self.history, self.horizon, self.windows, self.dt = (
            stride,
            history,
            horizon,
            windows,
            DT_S,
        )
        self.agents, self.allow_types, self.bounds = agents, allow_types, bounds
        self._devkit: Any = None
        self._lines: dict[str, Array] = {}
        self._frames: dict[str, dict[str, int]] = {}

    def files(self) -> Sequence[Path]:
        """The tables that are read, the challenge's list and the map expansions."""
        folder = existing_folder(self.root, HOW_TO_GET_IT)
        tables = folder / self.version
        if not tables.is_dir():
            found = ", ".join(sorted(path.name for path in folder.glob("v*") if path.is_dir())) or "none"
            raise MissingFile(tables, f"Versions in {folder}: {found}. {HOW_TO_GET_IT}")
        listed = [tables / f"{name}.json" for name in ("scene", "sample", "sample_annotation", "ego_pose")]
        extra = [folder / CHALLENGE_FILE, *sorted((folder / "maps" / "expansion").glob("*.json"))]
        return [path for path in [*listed, *extra] if path.is_file()]

    def examples(self, split: Split) -> SceneBatch:
        """The examples of a split; limits unknown."""
        return self._challenge(split) if self.protocol == "challenge" else super().examples(split)

    def recordings(self, split: Split) -> list[Recording]:
        """The split's scenes that are in this version."""
        devkit = self.devkit()
        wanted = set(scene_names(self.version, split))
        scenes = [scene for scene in devkit.scene if scene["name"] in wanted]
        if not scenes:
            raise DataError(f"{self.root}: {self.version} has no scene of the split '{split}'")
        return [self._scene(scene) for scene in scenes]

    def devkit(self) -> Any:
        """The devkit's database, opened once.

        Raises MissingExtra without the devkit, DataError when the tables cannot be read.
        """
        if self._devkit is None:
            self.files()
            try:
                from nuscenes.nuscenes import NuScenes as Database
            except ModuleNotFoundError as error:
                raise MissingExtra("dataset 'trajectory/nuscenes'", "nuscenes-devkit", None) from error
            try:
                self._devkit = Database(version=self.version, dataroot=self.root, verbose=False)
            except (AssertionError, KeyError, OSError, ValueError) as error:
                raise DataError(
                    f"{Path(self.root) / self.version} is not a nuScenes database: {error!r}"
                ) from error
        return self._devkit

    def _scene(self, scene: dict[str, Any]) -> Recording:
        """One scene on the 2 Hz grid, ego included as an agent that is never a target."""
        devkit = self.devkit()
        samples = samples_of(devkit, scene)
        times = np.array([sample["timestamp"] for sample in samples]) * 1e-6
        frames = regrid(times, scene["name"])
        self._frames[scene["name"]] = dict(zip((s["token"] for s in samples), frames.tolist(), strict=True))
        rows, names, parked = self._rows(samples, frames)
        made = recording(scene["name"], f"{self.root} ({self.version})", rows, DT_S)
        number = [name.partition("#") for name in made.agents]
        agents = tuple(names[int(head)] + mark + part for head, mark, part in number)
        is_ego = np.array([name == "ego" for name in agents])
        never = is_ego | (np.array([name.partition("#")[0] in parked for name in agents]) & (not self.parked))
        ego = np.full((made.present.shape[1], 2), np.nan)
        for row in np.nonzero(is_ego)[0]:
            ego[made.present[row]] = made.position[row, made.present[row]]
        lanes = self._lanes(scene, made) if self.maps else made.lanes
        return replace(made, agents=agents, context=never, ego=ego, lanes=lanes)

    def _rows(self, samples: list[dict[str, Any]], frames: Array) -> tuple[Rows, dict[int, str], set[str]]:
        """All annotations of a scene and the ego's poses; agents' names by number; who is ever parked."""
        devkit = self.devkit()
        numbers: dict[str, int] = {}
        parked: set[str] = set()
        values: list[tuple[int, int, float, float, int, float, float, float]] = []
        for sample, frame in zip(samples, frames.tolist(), strict=True):
            for token in sample["anns"]:
                note = devkit.get("sample_annotation", token)
                kind = kind_of(note["category_name"])
                if kind == OTHER:
                    continue
                instance = note["instance_token"]
                width, length, _ = note["size"]  # the devkit's order, unlike most
                number = numbers.setdefault(instance, len(numbers))
                x, y, _ = note["translation"]
                values.append((frame, number, x, y, kind, length, width, yaw(note["rotation"])))
                if any("parked" in devkit.get("attribute", a)["name"] for a in note["attribute_tokens"]):
                    parked.add(instance)
            pose = ego_pose(devkit, sample)
            if pose is not None:
                x, y, _ = pose["translation"]
                values.append((frame, _EGO, x, y, SMALL_VEHICLE, *EGO_SIZE_M, yaw(pose["rotation"])))
        names = {number: instance for instance, number in numbers.items()} | {_EGO: "ego"}
        table = np.array(values, dtype=np.float64).reshape(-1, 8)
        whole = table[:, [0, 1, 4]].astype(np.int64)
        rows = Rows(whole[:, 0], whole[:, 1], table[:, 2:4], whole[:, 2], table[:, 5:7], table[:, 7])
        return rows, names, parked

    def _lanes(self, scene: dict[str, Any], made: Recording) -> Array:
        """Lane centre lines around the scene, NaN-padded; none where the map expansion is absent."""
        devkit = self.devkit()
        location = devkit.get("log", scene["log_token"])["location"]
        if not (Path(self.root) / "maps" / "expansion" / f"{location}.json").is_file():
            return made.lanes
        if location not in self._lines:
            self._lines[location] = centre_lines(self.root, location)
        lines = self._lines[location]
        here = made.position[made.present]
        low, high = here.min(axis=0) - 30, here.max(axis=0) + 30
        return np.asarray(lines[((lines >= low) & (lines <= high)).all(axis=2).any(axis=1)])

    def _challenge(self, split: Split) -> SceneBatch:
        """The challenge's instances as targets; those without a complete span cannot be attacked and are left
        out."""
        path = Path(self.root) / CHALLENGE_FILE
        if not path.is_file():
            raise MissingFile(
                path, f"protocol=challenge needs it (it comes with the map expansion). {HOW_TO_GET_IT}"
            )
        scenes = self.recordings(split)
        listed = json.loads(path.read_text())
        asked, batches = 0, []
        for scene in scenes:
            start, who, count = self._asked(scene, listed.get(scene.name, ()))
            asked += count
            if len(start):
                batches.append(gather(scene, self.window, self.agents, start, who))
        kept = sum(map(len, batches))
        if not kept:
            raise DataError(
                f"{path}: none of the {asked} instances of split '{split}' is seen in {self.window.frames} "
                "frames in a row"
            )
        if kept < asked:
            warnings.warn(
                f"nuScenes {split}: {asked - kept} of {asked} challenge instances are not seen in all "
                f"{self.window.frames} frames and were left out",
                stacklevel=2,
            )
        return SceneBatch.join(pad_agents(batches))

    def _asked(self, scene: Recording, tokens: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """First frame and agent of the complete ones among "instance_sample" tokens, and how many were
        asked."""
        parts: dict[str, list[int]] = {}
        for agent, name in enumerate(scene.agents):
            parts.setdefault(name.partition("#")[0], []).append(agent)
        frames = self._frames[scene.name]
        complete = (
            is_complete(scene, self.window) & np.isin(scene.kind, allowed_kinds(self.allow_types))[:, None]
        )
        places: list[tuple[int, int]] = []
        for token in tokens:
            instance, _, sample = token.partition("_")
            start = frames.get(sample, -1) - self.history + 1
            places += [
                (start, agent) for agent in parts.get(instance, ()) if _can_start(complete[agent], start)
            ]
        table = torch.tensor(places, dtype=torch.long).reshape(-1, 2)
        return table[:, 0], table[:, 1], len(tokens)


def _can_start(complete: Array, start: int) -> bool:
    return 0 <= start < len(complete) and bool(complete[start])
