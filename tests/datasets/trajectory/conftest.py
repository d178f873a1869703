"""Small recordings and folders that several dataset tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

from robeval_datasets.trajectory.recordings import Rows


def straight_rows(
    agent: int, frames: range, start: tuple[float, float] = (0.0, 0.0), step: float = 1.0
) -> Rows:
    """One vehicle that drives along +x, `step` metres per frame."""
    count = len(frames)
    x = start[0] + step * np.arange(count)
    return Rows(
        frame=np.array(frames),
        agent=np.full(count, agent),
        position=np.stack([x, np.full(count, start[1])], axis=1),
        kind=np.full(count, 1),
        size=np.tile([4.5, 1.8], (count, 1)),
        heading=np.full(count, np.nan),
    )


def together(*parts: Rows) -> Rows:
    """All rows of several agents."""
    return Rows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@pytest.fixture
def drive():
    """Makes the rows of one vehicle: drive(agent, frames, start=(x, y), step=metres)."""
    return straight_rows


@pytest.fixture
def join():
    """Puts the rows of several agents together."""
    return together


@pytest.fixture(scope="session")
def eth_ucy_root() -> Path:
    """The folder of the real ETH/UCY recordings; skips without it."""
    shared = os.environ.get("ROBEVAL_SHARED") or Path(__file__).parents[4] / "shared"
    folder = Path(shared) / "data" / "eth_ucy"
    if not folder.is_dir():
        pytest.skip(
            "the real ETH/UCY recordings are not here (set ROBEVAL_SHARED to the folder that holds data/)"
        )
    return folder
