"""ApolloScape text files, both layouts."""

import math
from pathlib import Path

import pytest
import torch

from robeval.errors import DataError, MissingFile
from robeval_datasets.trajectory.apolloscape import ApolloScape


def ten_columns(frames: int = 40, kind: int = 1, heading: float = 0.5) -> str:
    """Two objects at 2 m per frame, headed as the file says."""
    return "\n".join(
        f"{k} {agent} {kind} {100 + 2 * k} {50 * agent} 1.0 4.5 1.8 1.5 {heading}"
        for k in range(frames)
        for agent in (1, 2)
    )


def nine_columns(frames: int = 40, step: float = 0.5) -> str:
    """The same objects in the other layout: time first, width before length."""
    return "\n".join(
        f"{1000 + step * k} {agent} 1.8 4.5 1 {100 + 2 * k} {50 * agent} 4.0 0.0"
        for k in range(frames)
        for agent in (1, 2)
    )


def load(folder: Path, text: str, split: str = "train", **options):
    """A split of a folder with one file."""
    (folder / "result.txt").write_text(text)
    return ApolloScape(root=str(folder), bounds="repo", **options).split(split)


def test_both_layouts_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    """The same tracks come out, with length before width, whatever order the file has."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ten, nine = load(tmp_path / "a", ten_columns()), load(tmp_path / "b", nine_columns())
    assert torch.equal(ten.track, nine.track)
    for batch in (ten, nine):
        torch.testing.assert_close(batch.size[0, 0], torch.tensor([4.5, 1.8]))
        assert (batch.history, batch.horizon) == (6, 6)


def test_given_headings_are_kept_and_a_column_of_zeros_is_a_missing_one(tmp_path: Path) -> None:
    """A column of zeros is replaced by the direction of motion, which someone who stands does not have."""
    assert (load(tmp_path, ten_columns(heading=0.5)).heading[:, 0] == 0.5).all()
    rows = [line.split() for line in ten_columns(heading=0.0).splitlines()]
    still = "\n".join(" ".join([*row[:3], "100", *row[4:]]) for row in rows)
    assert load(tmp_path, still).heading[:, 0].isnan().all()


def test_gaps_in_frame_ids_are_gaps(tmp_path: Path) -> None:
    """Frames are placed by their number, not by their row: no example spans a missing one."""
    text = "\n".join(line for line in ten_columns(28).splitlines() if line.split()[0] != "12")
    batch = load(tmp_path, text, val_share=0.01, test_share=0.01)
    starts = {int(name.rpartition("@")[2]) for name in batch.ids}
    assert starts == {0, *range(13, 27 - 12 + 1)}


def test_other_objects_are_dropped_and_strange_types_refused(tmp_path: Path) -> None:
    """Type 5 is nobody; type 9 is a mistake that is named."""
    with pytest.raises(DataError, match="no rows"):
        load(tmp_path, ten_columns(kind=5))
    with pytest.raises(DataError, match="has type 9, expected 1 to 5"):
        load(tmp_path, ten_columns(kind=9))


def test_recordings_divide_the_splits(tmp_path: Path) -> None:
    """With three or more files no recording is in two splits."""
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(ten_columns(14))
    data = ApolloScape(root=str(tmp_path))
    scenes = [set(data.split(split).scene) for split in ("train", "val", "test")]
    assert scenes == [set("0123456"), {"7"}, {"8", "9"}]


def test_not_finite_positions_and_another_rate_are_refused(tmp_path: Path) -> None:
    """NaN is named with object and frame; timestamps at another rate say which `dt` would fit."""
    with pytest.raises(DataError, match="object 2 in frame 3"):
        load(tmp_path, ten_columns().replace("3 2 1 106 ", f"3 2 1 {math.nan} "))
    with pytest.raises(DataError, match=r"set dt=0\.1"):
        load(tmp_path, nine_columns(step=0.1))
    with pytest.raises(MissingFile, match=r"apolloscape\.auto"):
        ApolloScape().split("train")
