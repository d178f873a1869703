"""The matrix: order, pooling over seeds, and what stands where nothing could be measured."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robeval.errors import StoreError
from robeval.report.matrix import Matrix, matrices
from robeval.report.pooling import pooled
from robeval.report.summary import chosen_metrics, metrics_of, read_run
from robeval.statistics.intervals import interval

SEARCH = "search:restarts=4,iterations=50"


def test_the_clean_row_is_first_and_certificates_are_last(ade: Matrix) -> None:
    """Attacks keep the plan's order between them."""
    assert ade.rows[0].is_clean
    assert ade.rows[-1].certified
    assert [row.attack for row in ade.rows[1:4]] == ["noise", SEARCH, "search-plus:restarts=4,iterations=50"]
    assert ade.columns[0] == "none"


def test_certificates_share_one_row_whatever_their_radius(ade: Matrix) -> None:
    """A defense without a certificate (radius 0) and one with 0.1 m stand in the same row."""
    (row,) = [row for row in ade.rows if row.certified]
    assert {ade[row, column].status for column in ade.columns} == {"done", "n/a"}


def test_an_oblivious_attack_has_its_own_labelled_row(ade: Matrix) -> None:
    """The same attack appears once per knowledge."""
    assert [row.grant for row in ade.rows if row.attack == SEARCH] == ["≤ 1 m", "≤ 1 m, oblivious"]


def test_seeds_are_pooled_from_the_examples(finished_run: Path, ade: Matrix) -> None:
    """The figure of two seeds is the mean over both tables, and scenes stay the clusters."""
    entry = ade[ade.rows[2], "none"]
    tables = [pq.read_table(finished_run / "examples" / f"{cell.id}.parquet") for cell in entry.cells]
    values = np.concatenate([table.column("ade").to_numpy() for table in tables])
    scenes = [scene for table in tables for scene in table.column("cluster").to_pylist()]
    assert entry.figure is not None
    assert entry.figure.n == 192
    assert entry.figure.value == pytest.approx(values.mean())
    assert (entry.figure.low, entry.figure.high) == pytest.approx(interval(values, scenes)[1:3])


def test_equal_seeds_do_not_pretend_to_more_examples(finished_run: Path, ade: Matrix) -> None:
    """The clean row is the same under both seeds, so pooling does not narrow its interval."""
    entry = ade[ade.rows[0], "none"]
    table = pq.read_table(finished_run / "examples" / f"{entry.cells[0].id}.parquet")
    once = interval(table.column("ade").to_numpy(), table.column("cluster").to_pylist())
    assert entry.figure is not None
    assert (entry.figure.value, entry.figure.low, entry.figure.high) == pytest.approx(once[:3])


def test_a_failed_seed_is_left_out_of_the_figure(ade: Matrix) -> None:
    """One of two seeds failed: the cell counts as done, with the n of the other seed."""
    row = next(row for row in ade.rows if row.attack.startswith("sa-attack"))
    entry = ade[row, "augmentation"]
    assert entry.status == "done"
    assert entry.figure is not None
    assert entry.figure.n == 96


def test_the_verdict_of_an_entry_is_the_worst_of_its_seeds(ade: Matrix) -> None:
    """Suspicious and invalid cells carry their mark, the others none."""
    marks = {entry.mark for entry in ade.entries.values()}
    search, plus = ade.rows[2], ade.rows[3]
    assert marks == {"", "?", "!"}
    assert ade[search, "smoothing"].mark == "?"
    assert ade[plus, "adversarial-training"].mark == "!"


def test_only_trusted_figures_may_be_compared(ade: Matrix) -> None:
    """Figures of suspicious, invalid and failed cells are not part of the scale."""
    untrusted = [e.figure for e in ade.entries.values() if e.verdict != "ok" and e.figure is not None]
    assert len(untrusted) == 2
    assert not [figure for figure in ade.figures() if any(figure is other for other in untrusted)]


def test_a_place_without_cells_is_missing(ade: Matrix) -> None:
    """A combination that was never run is not silently empty."""
    assert ade[ade.rows[0], "unheard-of"].status == "missing"


def test_groups_give_one_matrix_each(finished_run: Path) -> None:
    """By group there is the whole and one matrix per speed regime, with the regime's examples only."""
    summary = read_run(finished_run)
    found = matrices(summary, finished_run, chosen_metrics(summary, None), by_group=True)
    assert [matrix.group for matrix in found] == ["", "high", "low", "medium"]
    figure = found[1][found[1].rows[1], "none"].figure
    assert figure is not None
    assert figure.n == 64


def test_ratios_are_pooled_as_ratios_of_means(finished_run: Path) -> None:
    """mean(attacked) / mean(clean) over both seeds, stationary examples left out."""
    summary = read_run(finished_run)
    (metric,) = (m for m in metrics_of(summary) if m.name == "ade_ratio")
    cells = [c for c in summary.cells if c.attack == "noise" and c.defense == "none"]
    tables = [pq.read_table(finished_run / "examples" / f"{cell.id}.parquet") for cell in cells]
    top = np.nanmean([table.column("ade_moving").to_numpy() for table in tables])
    bottom = np.nanmean([table.column("clean_ade_moving").to_numpy() for table in tables])
    figure = pooled(finished_run, cells, [metric])["ade_ratio", ""]
    assert figure.value == pytest.approx(top / bottom)
    assert figure.n == 2 * 84


def test_a_damaged_table_names_its_file(own_run: Path) -> None:
    """A table that is needed for pooling and cut short is an error with the next step, not a wrong figure."""
    summary = read_run(own_run)
    path = own_run / "examples" / f"{summary.cells[0].id}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=rf"{path.name} cannot be read.*Run the same command again"):
        matrices(summary, own_run, chosen_metrics(summary, None))


def test_one_seed_needs_no_tables(own_run: Path) -> None:
    """A run of a single seed is reported from its records alone."""
    summary = read_run(own_run)
    summary = summary.model_copy(update={"cells": [c for c in summary.cells if c.seed == 0]})
    for path in (own_run / "examples").iterdir():
        path.unlink()
    (matrix,) = matrices(summary, own_run, chosen_metrics(summary, None))
    assert matrix[matrix.rows[0], "none"].figure == summary.cells[0].metrics["ade"]


def test_names_are_short_only_while_they_tell_apart(own_run: Path) -> None:
    """Options are dropped from a name unless two rows would then be called the same."""
    summary = read_run(own_run)
    (matrix,) = matrices(summary, own_run, chosen_metrics(summary, None))
    assert list(matrix.row_names().values())[2:4] == ["search", "search-plus"]
    other = SEARCH.replace("4", "8")
    for cell in summary.cells[:1]:
        path = own_run / "cells" / f"{cell.id}.json"
        budget = {"name": "deviation", "unit": "m", "value": 1.0}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"attack": other, "budget": budget}))
    (matrix,) = matrices(read_run(own_run), own_run, chosen_metrics(summary, None))
    assert {SEARCH, other} <= set(matrix.row_names().values())
