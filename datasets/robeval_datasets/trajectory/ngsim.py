"""NGSIM: vehicles on US-101 and I-80."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from pydantic import Field

from robeval.domains.trajectory.batch import BIG_VEHICLE, CYCLE, SMALL_VEHICLE
from robeval.errors import DataError, OptionError
from robeval.plugins.data import Split
from robeval_datasets.trajectory.base import RecordedDataset
from robeval_datasets.trajectory.limits import BOUNDS_HELP
from robeval_datasets.trajectory.recordings import ALLOW_HELP, Recording, Rows, recording
from robeval_datasets.trajectory.tables import existing_folder, read_columns, read_numbers

HOW_TO_GET_IT = (
    "NGSIM US-101 and I-80 trajectories are on data.transportation.gov; put their text or CSV "
    "files into one folder: "
    "--dataset ngsim:root=FOLDER"
)
FOOT_M = 0.3048
RECORDED_DT_S = 0.1
COLUMNS = ("Vehicle_ID", "Frame_ID", "Local_X", "Local_Y", "v_Length", "v_Width", "v_Class")
_TEXT_COLUMNS = (0, 1, 4, 5, 8, 9, 10)
_MEANING = "the 18 NGSIM columns from Vehicle_ID to Time_Headway"
_KIND = {1: CYCLE, 2: SMALL_VEHICLE, 3: BIG_VEHICLE}
_SETTLING_S = 3.0


class NGSIM(RecordedDataset):
    """NGSIM US-101 and I-80: text or CSV recordings, feet at 10 Hz, given as metres at 5 Hz.

    Vehicles are split by number, as is usual for this set: up to 70 % of the largest are train, up to 80 %
    val, the rest test; the others stay as neighbours. The first 3 s of every track are dropped (the tracker
    settles). x is the lateral, y the longitudinal local coordinate; headings come from positions.

    Source: US Department of Transportation, Federal Highway Administration, NGSIM; observed 15 and predicted
    25 frames.
    """

    published = "ngsim"

    def __init__(
        self,
        *,
        root: Annotated[str, Field(description="folder of the text or CSV files")] = "",
        stride: Annotated[int, Field(ge=1, description="frames between the starts of examples")] = 25,
        history: Annotated[int, Field(ge=2, description="observed frames")] = 15,
        horizon: Annotated[int, Field(ge=1, description="predicted frames")] = 25,
        windows: Annotated[int, Field(ge=1, description="consecutive prediction instants")] = 1,
        dt: Annotated[float, Field(gt=0, description="seconds between frames, a multiple of 0.1")] = 0.2,
        agents: Annotated[int, Field(ge=1, description="target and nearest neighbours kept")] = 8,
        allow_types: Annotated[str, Field(description=ALLOW_HELP)] = "vehicles",
        bounds: Annotated[str, Field(description=BOUNDS_HELP)] = "dataset",
    ) -> None:
        super().__init__()
        self.root, self.stride = root, stride
        self.history, self.horizon, self.windows, self.dt = history, horizon, windows, dt
        self.agents, self.allow_types, self.bounds = agents, allow_types, bounds
        self.every = round(dt / RECORDED_DT_S)
        if self.every < 1 or abs(self.every * RECORDED_DT_S - dt) > 1e-6:
            raise OptionError(
                f"dt={dt}: NGSIM is recorded every {RECORDED_DT_S} s, so dt must be a multiple of it"
            )

    def files(self) -> Sequence[Path]:
        """The recordings, by name."""
        folder = existing_folder(self.root, HOW_TO_GET_IT)
        found = sorted([*folder.glob("*.txt"), *folder.glob("*.csv")])
        if not found:
            raise DataError(f"{folder}: no .txt or .csv file. {HOW_TO_GET_IT}")
        return found

    def recordings(self, split: Split) -> list[Recording]:
        """Every file; vehicles of other splits are neighbours only."""
        low, high = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}[split]
        return [self._read(path, low, high) for path in self.files()]

    def _read(self, path: Path, low: float, high: float) -> Recording:
        rows = self._rows(path)
        scene = recording(path.stem, path, rows, self.dt)
        number = np.array([int(name.partition("#")[0]) for name in scene.agents])
        largest = rows.agent.max()
        outside = (number <= low * largest) | (number > high * largest)
        return replace(scene, context=outside)

    def _rows(self, path: Path) -> Rows:
        """Rows at the wanted rate, metres, without each track's first seconds."""
        table = _columns(path)
        agent, frame = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
        _, index = np.unique(agent, return_inverse=True)
        first = np.full(index.max() + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, index, frame)
        settled = frame - first[index] >= round(_SETTLING_S / RECORDED_DT_S)
        kept = settled & (frame % self.every == 0)
        table, agent, frame = table[kept], agent[kept], frame[kept]
        strange = ~np.isin(table[:, 6], list(_KIND))
        if strange.any():
            k = int(strange.argmax())
            raise DataError(f"{path}: vehicle {agent[k]} has v_Class {table[k, 6]}, expected 1, 2 or 3")
        return Rows(
            frame=frame // self.every,
            agent=agent,
            position=table[:, 2:4] * FOOT_M,
            kind=np.array([0, *_KIND.values()])[table[:, 6].astype(np.int64)],
            size=table[:, 4:6] * FOOT_M,
            heading=np.full(len(table), np.nan),
        )


def _columns(path: Path) -> Float[Array, "rows 7"]:
    """The columns that are used, from a text file (18 columns) or a CSV file with a header."""
    with path.open(encoding="utf-8-sig") as stream:
        head = [name.strip().lower() for name in stream.readline().split(",")]
    if "vehicle_id" not in head:
        return read_numbers(path, columns=(18,), meaning=_MEANING)[:, _TEXT_COLUMNS]
    if "location" in head:
        raise DataError(
            f"{path}: a file with the column Location holds several recordings whose frame numbers overlap; "
            "write one file per location and period"
        )
    return read_columns(path, COLUMNS)
