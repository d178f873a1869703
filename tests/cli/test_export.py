"""`robeval export`: checks the folder, then leaves the writing to the dataset."""

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
    module.write = lambda layout, folder, **options: calls.append((layout, folder, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_the_writer_gets_format_folder_and_options(
    robeval: Run, written: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    """An empty or new folder is taken."""
    (tmp_path / "empty").mkdir()
    outcome = robeval(
        "export", "synthetic", "--format", "ngsim", tmp_path / "empty", "--scenes", 3, "--seed", 5
    )
    assert outcome.code == 0, outcome.err
    assert written == [("ngsim", tmp_path / "empty", {"scenes": 3, "seed": 5})]
    assert "3 scenes" in outcome.out


def test_nothing_is_overwritten(robeval: Run, written: list[tuple[Any, ...]], tmp_path: Path) -> None:
    """A folder with something in it, or a file, is refused."""
    (tmp_path / "file").touch()
    for target in (tmp_path, tmp_path / "file"):
        outcome = robeval("export", "synthetic", "--format", "nuscenes", target)
        assert outcome.code == 2
        assert str(target) in outcome.err
    assert written == []


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
