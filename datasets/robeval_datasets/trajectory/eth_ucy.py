"""ETH and UCY: pedestrians seen from above, as text files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from robeval.domains.trajectory.batch import PEDESTRIAN
from robeval.errors import DataError, OptionError
from robeval.plugins.data import Split
from robeval_datasets.trajectory.base import RecordedDataset
from robeval_datasets.trajectory.limits import BOUNDS_HELP
from robeval_datasets.trajectory.recordings import ALLOW_HELP, Recording, Rows, between, recording
from robeval_datasets.trajectory.tables import existing_folder, read_numbers

HOW_TO_GET_IT = (
    "ETH/UCY comes as one text file per recording (frame, agent, x, y), e.g. biwi_eth.txt, biwi_hotel.txt, "
    "crowds_zara01.txt; name their folder: --dataset eth-ucy:root=FOLDER"
)
_BODY_M = 0.6


class EthUcy(RecordedDataset):
    """ETH and UCY pedestrians: one recording held out for testing, the others for training.

    Files hold frame, agent, x, y (metres), 0.4 s between annotated frames whatever their numbers' step. The
    last part in time of every training recording is the val split.

    Source: Pellegrini et al., ICCV 2009 (ETH); Lerner, Chrysanthou, Lischinski, CGF 2007 (UCY); observed 8
    and predicted 12 frames as in Alahi et al., CVPR 2016.
    """

    def __init__(
        self,
        *,
        root: Annotated[str, Field(description="folder of the text files")] = "",
        test: Annotated[
            str, Field(description="recording that is held out (a file's name without .txt)")
        ] = "biwi_eth",
        val_share: Annotated[
            float, Field(gt=0, lt=0.9, description="share of training time kept for val")
        ] = 0.2,
        stride: Annotated[int, Field(ge=1, description="frames between the starts of examples")] = 1,
        history: Annotated[int, Field(ge=2, description="observed frames")] = 8,
        horizon: Annotated[int, Field(ge=1, description="predicted frames")] = 12,
        windows: Annotated[int, Field(ge=1, description="consecutive prediction instants")] = 1,
        dt: Annotated[float, Field(gt=0, description="seconds between annotated frames")] = 0.4,
        agents: Annotated[int, Field(ge=1, description="target and nearest neighbours kept")] = 8,
        allow_types: Annotated[str, Field(description=ALLOW_HELP)] = "pedestrian",
        bounds: Annotated[str, Field(description=BOUNDS_HELP)] = "dataset",
    ) -> None:
        super().__init__()
        self.root, self.test, self.val_share, self.stride = root, test, val_share, stride
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
        """The held-out recording, or a part in time of the others."""
        files = {path.stem: path for path in self.files()}
        if self.test not in files:
            raise OptionError(f"test='{self.test}': no such recording; {self.root} has {', '.join(files)}")
        if split == "test":
            return [self._read(files[self.test], 0.0, 1.0)]
        others = [path for name, path in files.items() if name != self.test]
        if not others:
            raise DataError(
                f"{self.root}: only '{self.test}', which is held out; nothing to train on. {HOW_TO_GET_IT}"
            )
        low, high = (0.0, 1 - self.val_share) if split == "train" else (1 - self.val_share, 1.0)
        return [self._read(path, low, high) for path in others]

    def _read(self, path: Path, low: float, high: float) -> Recording:
        """The part of a recording between two shares of its time."""
        table = read_numbers(path, columns=(4,), meaning="frame, agent, x, y")
        step = frame_step(table[:, 0])
        frame = np.round(table[:, 0] / step).astype(np.int64)
        count = len(table)
        rows = Rows(
            frame=frame,
            agent=table[:, 1].astype(np.int64),
            position=table[:, 2:4],
            kind=np.full(count, PEDESTRIAN),
            size=np.full((count, 2), _BODY_M),
            heading=np.full(count, np.nan),
        )
        return recording(path.stem, path, between(rows, low, high), self.dt)


def frame_step(numbers: np.ndarray) -> float:
    """The step of frame numbers between two annotated frames: the most frequent difference."""
    steps, counts = np.unique(np.diff(np.unique(numbers)), return_counts=True)
    return float(steps[counts.argmax()]) if len(steps) else 1.0
