"""`robeval export`: reads the call and leaves the writing to the dataset."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the writer was asked for, in place of writing."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("robeval_datasets.trajectory.export")

    def write(layout: str, folder: Path, **options: Any) -> str:
        calls.append((layout, folder, options))
        return "what was written"

    module.write = write  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_the_writer_gets_format_folder_and_options(
    robeval: Run, written: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    """What it says is what the person reads."""
    outcome = robeval("export", "synthetic", "--format", "ngsim", tmp_path, "--scenes", 3, "--seed", 5)
    assert outcome.code == 0, outcome.err
    assert written == [("ngsim", tmp_path, {"scenes": 3, "seed": 5})]
    assert outcome.out == "what was written\n"


def test_nothing_is_overwritten(robeval: Run, tmp_path: Path) -> None:
    """The real writer refuses a folder with something in it."""
    (tmp_path / "file").touch()
    outcome = robeval("export", "synthetic", "--format", "apolloscape", tmp_path)
    assert outcome.code == 2
    assert str(tmp_path) in outcome.err
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_files_are_really_written(robeval: Run, tmp_path: Path) -> None:
    """One file a scene in the ApolloScape format."""
    outcome = robeval("export", "synthetic", "--format", "apolloscape", tmp_path / "new", "--scenes", 2)
    assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "new").glob("*.txt"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["synthetic", "out"],
        ["synthetic", "out", "--format", "kitti"],
        ["nuscenes", "out", "--format", "nuscenes"],
        ["synthetic", "out", "--format", "ngsim", "--scenes", "0"],
    ],
)
def test_a_wrong_export_is_a_usage_error(
    robeval: Run, written: list[tuple[Any, ...]], words: list[str]
) -> None:
    """Format is required and known, the dataset is the synthetic one, and there is at least one scene."""
    assert robeval("export", *words).code == 2
    assert written == []
