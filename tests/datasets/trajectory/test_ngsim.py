"""NGSIM text and CSV files."""

from pathlib import Path

import pytest
import torch

from robeval.errors import DataError, MissingFile, OptionError
from robeval_datasets.trajectory.ngsim import NGSIM

HEADER = (
    "Vehicle_ID,Frame_ID,Total_Frames,Global_Time,Local_X,Local_Y,Global_X,Global_Y,v_length,v_Width,v_Class,"
    "v_Vel,v_Acc,Lane_ID,Preceding,Following,Space_Headway,Time_Headway"
)


def rows(separator: str = " ", vehicles: int = 10, frames: int = 125, kind: int = 2) -> str:
    """Vehicles that drive up the y axis at 5 ft per 0.1 s; the left one is fast, the right one is slow."""
    return "\n".join(
        separator.join(
            map(str, [v, k, frames, 0, 12 * v, 5.0 * k, 0, 0, 15.0, 6.0, kind, 0, 0, 1, 0, 0, 0, 0])
        )
        for v in range(1, vehicles + 1)
        for k in range(frames)
    )


def test_feet_at_ten_hertz_become_metres_at_five(tmp_path: Path) -> None:
    """10 ft per 0.2 s are 3.048 m per frame along +y; sizes are metres too."""
    (tmp_path / "a.txt").write_text(rows())
    train = NGSIM(root=str(tmp_path)).split("train")
    assert train.track.shape[2] == 40
    torch.testing.assert_close(train.target.diff(dim=1), torch.tensor([0.0, 3.048]).expand(len(train), 39, 2))
    torch.testing.assert_close(train.size[0, 0], torch.tensor([4.572, 1.8288]))
    assert (train.dt == torch.tensor(0.2)).all()


def test_heading_knows_its_quadrant(tmp_path: Path) -> None:
    """Driving along +y is +90 degrees, not an arctan of a ratio without quadrant."""
    (tmp_path / "a.txt").write_text(rows())
    heading = NGSIM(root=str(tmp_path)).split("train").heading[:, 0]
    torch.testing.assert_close(heading, torch.full_like(heading, torch.pi / 2))


def test_the_first_three_seconds_of_every_track_are_dropped(tmp_path: Path) -> None:
    """125 frames at 10 Hz leave 95, every second one is kept: starts are counted from second three."""
    (tmp_path / "a.txt").write_text(rows())
    train = NGSIM(root=str(tmp_path), stride=1).split("train")
    per_vehicle = len(train) / 7
    assert per_vehicle == (125 - 30 + 1) // 2 - 40 + 1
    assert float(train.origin[0, 1] + train.target[0, 0, 1]) == pytest.approx(30 * 5 * 0.3048, abs=1e-4)


def test_vehicles_are_split_by_number_and_stay_as_neighbours(tmp_path: Path) -> None:
    """Of ten vehicles seven train, one is val, two test; all see each other."""
    (tmp_path / "a.txt").write_text(rows())
    data = NGSIM(root=str(tmp_path))
    who = [
        {int(name.split("/")[1].split("@")[0]) for name in data.split(s).ids}
        for s in ("train", "val", "test")
    ]
    assert who == [set(range(1, 8)), {8}, {9, 10}]
    assert data.split("val").present[0].all()


def test_csv_with_a_header_reads_the_same(tmp_path: Path) -> None:
    """Columns are found by name."""
    (tmp_path / "text").mkdir()
    (tmp_path / "csv").mkdir()
    (tmp_path / "text" / "a.txt").write_text(rows())
    (tmp_path / "csv" / "a.csv").write_text(HEADER + "\n" + rows(","))
    text, csv = (NGSIM(root=str(tmp_path / kind)).split("train") for kind in ("text", "csv"))
    assert text.identical(csv)


@pytest.mark.parametrize(("v_class", "kind"), [(1, 4), (2, 1), (3, 2)])
def test_classes_are_mapped(tmp_path: Path, v_class: int, kind: int) -> None:
    """Motorcycle, automobile and truck are cycle, small and big vehicle."""
    (tmp_path / "a.txt").write_text(rows(kind=v_class))
    train = NGSIM(root=str(tmp_path), allow_types="small+big+cycle").split("train")
    assert set(train.kind[:, 0].tolist()) == {kind}


def test_mistakes_are_answered(tmp_path: Path) -> None:
    """A wrong class, several recordings in one file, an impossible rate and a missing root."""
    (tmp_path / "a.txt").write_text(rows(kind=7))
    with pytest.raises(DataError, match=r"v_Class 7\.0, expected 1, 2 or 3"):
        NGSIM(root=str(tmp_path)).split("train")
    (tmp_path / "a.txt").write_text(HEADER + ",Location\n")
    with pytest.raises(DataError, match="one file per location"):
        NGSIM(root=str(tmp_path)).split("train")
    with pytest.raises(OptionError, match=r"dt=0\.25"):
        NGSIM(dt=0.25)
    with pytest.raises(MissingFile, match=r"data\.transportation\.gov"):
        NGSIM().split("train")
