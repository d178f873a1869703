"""Run folders are read as they are, and what is wrong with them is said."""

import json
from pathlib import Path

import pytest

from robeval.errors import MissingFile, StoreError, UsageError
from robeval.report.summary import chosen_metrics, find_run, metrics_of, read_run


def test_cells_come_in_the_order_of_the_plan(finished_run: Path) -> None:
    """The summary has every stored cell once, in the order of run.json."""
    summary = read_run(finished_run)
    assert [cell.id for cell in summary.cells] == summary.run.cells[:-1]
    assert summary.environment == summary.run.environment


def test_a_planned_cell_without_a_record_is_left_out(finished_run: Path) -> None:
    """An unfinished run can be read: what is missing is missing."""
    summary = read_run(finished_run)
    assert len(summary.cells) == len(summary.run.cells) - 1


def test_a_folder_without_run_json_says_how_one_is_made(tmp_path: Path) -> None:
    """The error names the file and the command."""
    with pytest.raises(MissingFile, match=r"run\.json.*robeval run"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1}', "[]"])
def test_a_damaged_record_names_its_file_and_the_way_out(own_run: Path, content: str) -> None:
    """Cut short, incomplete or of the wrong kind: StoreError with the path and the next step."""
    cell = sorted((own_run / "cells").iterdir())[0]
    cell.write_text(content)
    with pytest.raises(StoreError, match=rf"{cell.name} cannot be read.*Run the same command again"):
        read_run(own_run)


def test_a_record_of_another_schema_is_refused(own_run: Path) -> None:
    """A run of a future version is not half understood."""
    path = own_run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    with pytest.raises(StoreError, match="schema 2; this robeval reads 1"):
        read_run(own_run)


def test_a_run_is_found_by_path_and_by_name(
    finished_run: Path, own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any folder with a run.json is a run; a bare name is looked up under ./runs."""
    assert find_run(finished_run) == finished_run
    (tmp_path / "runs").mkdir()
    own_run.rename(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_run("mine") == Path("runs/mine")


def test_an_unknown_run_answers_with_the_nearest(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistyped name is met with the one that was meant and a list of all."""
    (tmp_path / "runs").mkdir()
    own_run.rename(tmp_path / "runs" / "trajectory-1a2b")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"Did you mean 'trajectory-1a2b'\?"):
        find_run("trajectry-1a2b")


def test_without_any_run_the_error_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing under ./runs: the next step is robeval run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no runs under \./runs.*robeval run"):
        find_run("demo")


def test_a_folder_that_is_no_run_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """An existing folder without run.json is not answered with 'no such run'."""
    with pytest.raises(UsageError, match=r"has no run\.json"):
        find_run(tmp_path)


def test_the_headline_is_the_default_and_all_means_all(finished_run: Path) -> None:
    """No name gives the first metric, `all` every one, names their own order."""
    summary = read_run(finished_run)
    assert [m.name for m in chosen_metrics(summary, None)] == ["ade"]
    assert [m.name for m in chosen_metrics(summary, ["all"])] == ["ade", "success", "ade_ratio"]
    assert [m.name for m in chosen_metrics(summary, ["success", "ade"])] == ["success", "ade"]


def test_an_unknown_metric_answers_with_the_nearest(finished_run: Path) -> None:
    """The error names the metric that was meant and lists the others."""
    with pytest.raises(UsageError, match=r"'sucess'\. Did you mean 'success'\?\nIt has: ade, success"):
        chosen_metrics(read_run(finished_run), ["sucess"])


def test_metrics_are_read_off_the_figures_when_the_run_lists_none(own_run: Path) -> None:
    """A run.json without a metrics list still has its metrics, units and directions."""
    path = own_run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": []}))
    found = metrics_of(read_run(own_run))
    assert [(m.name, m.unit, m.direction) for m in found][:2] == [
        ("ade", "m", "lower"),
        ("success", "", "lower"),
    ]
