"""Recording a baseline: what is kept, what is refused, what a later robeval makes of a damaged one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robeval.errors import MissingFile, RobevalError, UsageError
from robeval.gate.judge import check_figures
from robeval.gate.record import Recorded, record
from robeval.results.baseline import (
    Baseline,
    outcomes_path,
    read_baseline,
    read_outcomes,
    write_baseline,
)

Places = Callable[[str], Any]
HALF = [0.0, 1.0] * 10
DOUBT = {
    "verdict": "suspicious",
    "evidence": [{"check": "gradients", "severity": "suspicious", "message": "the gradient was zero"}],
}


@pytest.fixture
def run(places: Places) -> Path:
    """A finished run: a clean cell, and an attacked one under two seeds."""
    made = places("run").cell("none", [1.0] * 20).cell("worst", HALF, [1 / 3] * 20)
    return made.cell("worst", [0.0] * 20, [2 / 3] * 20, seed=1).done()  # type: ignore[no-any-return]


@pytest.fixture
def written(run: Path, tmp_path: Path) -> Path:
    """Its baseline."""
    path = tmp_path / "base" / "robeval-baseline.json"
    write_baseline(path, *_both(record(run, metrics=["all"])))
    return path


def _both(found: Recorded) -> tuple[Baseline, dict[str, dict[str, np.ndarray]]]:
    return found.baseline, found.outcomes


def test_figures_are_pooled_over_seeds_and_rounded(written: Path) -> None:
    """Ten of forty are a quarter; a third is written with five digits."""
    clean, worst = read_baseline(written).cells
    assert worst.name == "worst <= 0.5 m vs none on line (points)"
    assert (worst.seeds, worst.n, worst.figures) == ([0, 1], 40, {"accuracy": 0.25, "error": 0.5})
    assert clean.name == "clean vs none on line (points)"
    assert '"error": 10.5' in written.read_text()


def test_the_file_reads_well_in_a_diff(written: Path) -> None:
    """Nothing about machines or times; a cell on three lines, a metric on one; no line beyond 300 characters."""
    lines = written.read_text().splitlines()
    assert max(map(len, lines)) < 300
    assert sum('"name": "worst' in line for line in lines) == 1
    start = next(k for k, line in enumerate(lines) if '"name": "clean' in line)
    assert '"name": "worst' in lines[start + 3]
    document = json.loads(written.read_text())
    assert not {"execution", "git", "started", "command"} & ({*document} | {*document["experiment"]})


def test_outcomes_come_back_as_they_were(run: Path, written: Path) -> None:
    """Every outcome of every seed, in single precision, under its cell's name."""
    baseline = read_baseline(written)
    found = read_outcomes(written, baseline)
    table = found["worst <= 0.5 m vs none on line (points)"]
    assert table["accuracy"].tolist() == HALF + [0.0] * 20
    assert table["seed"].tolist() == [0] * 20 + [1] * 20
    assert table["error"].dtype == np.float32
    check_figures(written, baseline, found)
    columns = pq.read_table(outcomes_path(written)).column_names
    assert columns == ["cell", "seed", "example", "cluster", "accuracy", "error"]


def test_the_headline_gates_unless_others_are_named(run: Path) -> None:
    """The first metric alone by default; a share in points, a mean relative to itself."""
    assert [metric.name for metric in record(run).baseline.metrics] == ["accuracy"]
    metrics = record(run, metrics=["error", "accuracy"]).baseline.metrics
    assert [(m.name, m.tolerance, m.relative) for m in metrics] == [
        ("error", 0.02, True),
        ("accuracy", 0.02, False),
    ]
    with pytest.raises(UsageError, match=r"no metric 'acuracy'. Did you mean 'accuracy'"):
        record(run, metrics=["acuracy"])


def test_edited_tolerances_and_chosen_metrics_survive_a_new_recording(run: Path, written: Path) -> None:
    """Recording an improvement does not undo what a person decided."""
    written.write_text(
        written.read_text().replace(
            '"tolerance": 0.02, "relative": true', '"tolerance": 0.3, "relative": false'
        )
    )
    found = record(run, previous=written)
    assert [(m.name, m.tolerance, m.relative) for m in found.baseline.metrics] == [
        ("accuracy", 0.02, False),
        ("error", 0.3, False),
    ]
    assert found.notes == ["tolerances are kept from the baseline that this one replaces"]
    written.write_text("{")
    assert "is not JSON" in record(run, previous=written).notes[0]


@pytest.mark.parametrize(
    ("changes", "reason", "flag"),
    [
        (
            {"status": "failed", "verdict": "invalid", "error": "out of luck"},
            "out of luck",
            "leave_out_failed",
        ),
        (DOUBT | {"verdict": "invalid"}, "the gradient was zero", "leave_out_failed"),
        (DOUBT, "the gradient was zero", "allow_suspicious"),
    ],
)
def test_figures_that_nobody_should_rely_on_are_refused(
    places: Places, changes: dict[str, Any], reason: str, flag: str
) -> None:
    """Failed, invalid and suspicious cells are named, with the flag that accepts it; then a note stays."""
    folder = places("run").cell("none", HALF).cell("worst", HALF, **changes).done()
    with pytest.raises(RobevalError, match=reason) as refused:
        record(folder)
    assert f"--{flag.replace('_', '-')}" in str(refused.value)
    assert "worst <= 0.5 m vs none" in str(refused.value)
    found = record(folder, **{flag: True})  # type: ignore[arg-type]
    assert [cell.verdict for cell in found.baseline.cells][1:] == (
        ["suspicious"] if flag == "allow_suspicious" else []
    )
    assert reason in found.notes[0]


def test_an_impossible_combination_is_no_cell(places: Places) -> None:
    """n/a is neither recorded nor a reason to refuse; rows of an audit are not recorded."""
    made = places("run").cell("none", HALF).cell("worst", [], status="n/a", error="trains nothing")
    made.cell("worst", HALF, counter="expectation")
    made.cell('worst-of:access=white-box,of="worst"', HALF)
    found = record(made.done())
    assert [cell.attack for cell in found.baseline.cells] == ["none"]
    assert "rows that an audit added" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"complete": False}, "is not finished"),
        ({"cells": ["000000000000", "000000000001"]}, "1 of 2 cells are missing.*robeval run linear"),
        ({"fingerprints": {}}, "kept no fingerprints"),
    ],
)
def test_an_unfinished_run_is_refused(places: Places, changes: dict[str, Any], message: str) -> None:
    """With the command that finishes it."""
    with pytest.raises(RobevalError, match=message):
        record(places("run").cell("none", HALF).done(**changes))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "[", "is not JSON: .*line 2"),
        ('"schema": 1', '"schema": 9', "has schema 9; this robeval reads 1"),
        ('"schema": 1', '"scheme": 1', "is not a baseline"),
        ('"tolerance": 0.02', '"tolerance": "much"', "metrics › 'accuracy' › tolerance: .*got 'much'"),
        ('"tolerance": 0.02', '"tolerance": -1', "metrics › 'accuracy' › tolerance: .*greater than or equal"),
        ('"tolerance": 0.02', '"tolerence": 0.02', "tolerence"),
        ('"seeds": [0, 1], ', "", "cells › 'worst.* › seeds: Field required"),
        (
            '"figures": {"accuracy": 0.25',
            '"figures": {"accurate": 0.25',
            "no figure for the metric 'accuracy'",
        ),
        ('"name": "worst', '"name": "clean vs none on line (points)", "x": "', "x: Extra inputs"),
    ],
)
def test_a_broken_baseline_is_explained(written: Path, old: str, new: str, message: str) -> None:
    """Where, what was expected, and how to get a good one."""
    text = written.read_text()
    assert old in text
    written.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        read_baseline(written)


def test_missing_and_foreign_outcomes_are_explained(written: Path) -> None:
    """No Parquet, another one, one that Git LFS did not fetch, no baseline at all."""
    baseline, beside = read_baseline(written), outcomes_path(written)
    content = beside.read_bytes()
    beside.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UsageError, match="git lfs pull"):
        read_outcomes(written, baseline)
    beside.write_bytes(content[:-1] + b"\0")
    with pytest.raises(UsageError, match="is not the file that was recorded"):
        read_outcomes(written, baseline)
    beside.unlink()
    with pytest.raises(MissingFile, match="commit both files"):
        read_outcomes(written, baseline)
    with pytest.raises(MissingFile, match="robeval baseline RUN"):
        read_baseline(written.parent / "other.json")


def test_an_edited_figure_is_found_out(written: Path) -> None:
    """The gate compares outcomes; a figure that says something else must not mislead a reader."""
    written.write_text(written.read_text().replace('"accuracy": 0.25', '"accuracy": 0.15'))
    baseline = read_baseline(written)
    with pytest.raises(UsageError, match=r"says accuracy 0\.15, and its recorded outcomes give 0\.25"):
        check_figures(written, baseline, read_outcomes(written, baseline))


def test_a_metric_that_was_not_recorded_cannot_be_added_by_hand(run: Path, tmp_path: Path) -> None:
    """The outcomes lack its column: record again with --metric."""
    path = tmp_path / "baseline.json"
    write_baseline(path, *_both(record(run)))
    text = path.read_text().replace('"column": "accuracy"', '"column": "error"')
    path.write_text(text)
    with pytest.raises(UsageError, match=r"no column error.*--metric NAME"):
        read_outcomes(path, read_baseline(path))
