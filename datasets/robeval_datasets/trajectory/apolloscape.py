"""ApolloScape trajectory text files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array
from pydantic import Field

from robeval.domains.trajectory.batch import OTHER
from robeval.errors import DataError
from robeval.plugins.data import Split
from robeval_datasets.trajectory.base import RecordedDataset
from robeval_datasets.trajectory.limits import BOUNDS_HELP
from robeval_datasets.trajectory.recordings import ALLOW_HELP, Recording, Rows, between, recording
from robeval_datasets.trajectory.tables import existing_folder, read_numbers

HOW_TO_GET_IT = (
    "ApolloScape trajectories are on apolloscape.auto (trajectory.html, 'prediction_train'); "
    "unpack them and name the "
    "folder of text files: --dataset apolloscape:root=FOLDER. Or write a small one: "
    "robeval export synthetic --format apolloscape FOLDER"
)
_MEANING = (
    "frame_id object_id object_type x y z length width height heading, or "
    "timestamp id width length type x y vx vy"
)


class ApolloScape(RecordedDataset):
    """ApolloScape trajectories (2 Hz): both text layouts, told apart by their number of columns.

    Recordings in order of name are train, val, test; fewer than three are each split in time. Objects of type
    5 (other) are dropped.

    Source: Ma et al., "TrafficPredict", arXiv:1811.02146; observed 6 and predicted 6 frames.
    """

    published = "apolloscape"

    def __init__(
        self,
        *,
        root: Annotated[str, Field(description="folder of the text files")] = "",
        val_share: Annotated[float, Field(gt=0, lt=0.5, description="share of recordings for val")] = 0.1,
        test_share: Annotated[float, Field(gt=0, lt=0.5, description="share of recordings for test")] = 0.2,
        stride: Annotated[int, Field(ge=1, description="frames between the starts of examples")] = 1,
        history: Annotated[int, Field(ge=2, description="observed frames")] = 6,
        horizon: Annotated[int, Field(ge=1, description="predicted frames")] = 6,
        windows: Annotated[int, Field(ge=1, description="consecutive prediction instants")] = 1,
        dt: Annotated[float, Field(gt=0, description="seconds between frames")] = 0.5,
        agents: Annotated[int, Field(ge=1, description="target and nearest neighbours kept")] = 8,
        allow_types: Annotated[str, Field(description=ALLOW_HELP)] = "vehicles",
        bounds: Annotated[str, Field(description=BOUNDS_HELP)] = "dataset",
    ) -> None:
        super().__init__()
        self.root, self.val_share, self.test_share, self.stride = root, val_share, test_share, stride
        self.history, self.horizon, self.windows, self.dt = history, horizon, windows, dt
        self.agents, self.allow_types, self.bounds = agents, allow_types, bounds

    def files(self) -> Sequence[Path]:
        """The recordings, by name."""
        folder = existing_folder(self.root, HOW_TO_GET_IT)
        found = sorted(folder.glob("*.txt"))
        if not found:
            raise DataError(f"{folder}: no .txt file. {HOW_TO_GET_IT}")
        return found

    def recordings(self, split: Split) -> list[Recording]:
        """The split's files; with fewer than three files, the split's part in time of every file."""
        files = self.files()
        if len(files) >= 3:
            return [self._recording(path, 0.0, 1.0) for path in self._divided(files)[split]]
        middle, late = 1 - self.val_share - self.test_share, 1 - self.test_share
        low, high = {"train": (0.0, middle), "val": (middle, late), "test": (late, 1.0)}[split]
        return [self._recording(path, low, high) for path in files]

    def _divided(self, files: Sequence[Path]) -> dict[str, Sequence[Path]]:
        count = len(files)
        test = max(1, round(self.test_share * count))
        val = min(max(1, round(self.val_share * count)), count - test - 1)
        return {
            "train": files[: count - val - test],
            "val": files[count - val - test : count - test],
            "test": files[count - test :],
        }

    def _recording(self, path: Path, low: float, high: float) -> Recording:
        return recording(path.stem, path, between(self._rows(path), low, high), self.dt)

    def _rows(self, path: Path) -> Rows:
        table = read_numbers(path, columns=(10, 9), meaning=_MEANING)
        rows = _ten_columns(table) if table.shape[1] == 10 else _nine_columns(path, table, self.dt)
        strange = ~np.isin(rows.kind, range(1, OTHER + 1))
        if strange.any():
            k = int(strange.argmax())
            raise DataError(
                f"{path}: object {rows.agent[k]} has type {rows.kind[k]}, expected 1 to 5 ({_MEANING})"
            )
        return rows.select(rows.kind != OTHER)


def _ten_columns(table: Float[Array, "rows 10"]) -> Rows:
    heading = table[:, 9]
    return Rows(
        frame=table[:, 0].astype(np.int64),
        agent=table[:, 1].astype(np.int64),
        position=table[:, 3:5],
        kind=table[:, 2].astype(np.int64),
        size=table[:, 6:8],
        # A column of zeros is a missing column: nobody drives due east all day.
        heading=heading if np.any(heading != 0) else np.full(len(table), np.nan),
    )


def _nine_columns(path: Path, table: Float[Array, "rows 9"], dt: float) -> Rows:
    """Timestamps in seconds, put on the time grid.

    Raises DataError when the recording has another rate.
    """
    step = float(np.median(np.diff(np.unique(table[:, 0])))) if np.ptp(table[:, 0]) else dt
    if abs(step - dt) > 0.25 * dt:
        raise DataError(
            f"{path}: timestamps are {step:g} s apart, expected {dt} s; set dt={step:g} if that is right"
        )
    return Rows(
        frame=np.round((table[:, 0] - table[:, 0].min()) / dt).astype(np.int64),
        agent=table[:, 1].astype(np.int64),
        position=table[:, 5:7],
        kind=table[:, 4].astype(np.int64),
        size=table[:, [3, 2]],
        heading=np.full(len(table), np.nan),
    )
