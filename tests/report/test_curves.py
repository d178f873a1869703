"""Security curves: points, areas and crossings against values worked out by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

from robeval.report.curve_areas import trapezoid_weights
from robeval.report.curves import Curve, Point, crossing, curves
from robeval.report.summary import read_run
from robeval.report.tables import read_examples
from robeval.results.records import RunRecord
from robeval.statistics.intervals import interval
from tests.report.swept_run import BUDGETS, write_swept_run
from tests.report.synthetic_run import examples


def _points(*values: float, reach: float | None = 0.5) -> list[Point]:
    ends = [(None, None) if reach is None else (value - reach, value + reach) for value in values]
    return [
        Point(float(k), v, low, high, 10) for k, (v, (low, high)) in enumerate(zip(values, ends, strict=True))
    ]


def _curve(folder: Path, attack: str, defense: str = "none", **asked: object) -> Curve:
    found = curves(read_run(folder), folder, **asked)  # type: ignore[arg-type]
    return next(
        curve
        for curve in found
        if curve.attack.partition(":")[0] == attack
        and (curve.defense, curve.knowledge, curve.counter) == (defense, "adaptive", "")
    )


def test_a_curve_starts_clean_and_rises_through_its_budgets(swept_run: Path) -> None:
    """The first point is the clean cell at budget 0, the others stand at the budgets in ascending order."""
    curve = _curve(swept_run, "search")
    assert [point.budget for point in curve.points] == [0.0, *BUDGETS]
    cells = {(c.attack, c.defense): c for c in read_run(swept_run).cells}
    assert curve.points[0].value == cells["none", "none"].metrics["ade"].value
    assert (curve.budget_name, curve.unit, curve.metric.name) == ("deviation", "m", "ade")


def test_an_attack_at_one_budget_has_no_curve(finished_run: Path) -> None:
    """A run with a single budget has no curves at all."""
    assert curves(read_run(finished_run), finished_run) == []


def test_the_weights_are_those_of_the_trapezoid() -> None:
    """Budgets 0, 1, 4 count 1/8, 4/8 and 3/8: numpy's trapezoid over their width."""
    assert trapezoid_weights([0.0, 1.0, 4.0]) == pytest.approx([1 / 8, 4 / 8, 3 / 8])
    values = np.array([2.0, 5.0, 3.0])
    assert trapezoid_weights([0.0, 1.0, 4.0]) @ values == pytest.approx(trapezoid(values, [0, 1, 4]) / 4)


def test_the_area_is_that_of_the_drawn_curve(swept_run: Path) -> None:
    """For a mean the area of the points is the mean of the examples' areas, inside its own interval."""
    curve = _curve(swept_run, "search")
    assert curve.area is not None
    drawn = trapezoid([p.value for p in curve.points], [p.budget for p in curve.points]) / curve.largest
    assert curve.area.value == pytest.approx(drawn)
    assert curve.area.low < curve.area.value < curve.area.high
    assert curve.area.unit == "m"


def test_the_interval_is_that_of_the_examples_areas(swept_run: Path) -> None:
    """Area and interval equal `interval` of the per-example areas with the examples' clusters."""
    curve = _curve(swept_run, "search")
    cells = [
        cell
        for cell in read_run(swept_run).cells
        if (cell.attack, cell.defense, cell.knowledge) == (curve.attack, "none", "adaptive")
        and not cell.counter
    ]
    cells = [c for c in read_run(swept_run).cells if (c.attack, c.defense) == ("none", "none")] + cells
    tables = [read_examples(swept_run, cell.id, ["ade"], ["cluster"]) for cell in cells]
    at = [0.0, *BUDGETS]
    areas = [
        trapezoid(column, at) / at[-1] for column in zip(*(table["ade"] for table in tables), strict=True)
    ]
    expected = interval(areas, tables[0]["cluster"])
    assert curve.area is not None
    assert (curve.area.value, curve.area.low, curve.area.high) == pytest.approx(expected[:3])


def test_the_area_of_a_ratio_is_the_ratio_of_areas(swept_run: Path) -> None:
    """With a denominator that no attack changes, this is the area of the drawn ratios."""
    curve = _curve(swept_run, "search", metric="ade_ratio")
    drawn = trapezoid([p.value for p in curve.points], [p.budget for p in curve.points]) / curve.largest
    assert curve.area is not None
    assert curve.area.value == pytest.approx(drawn)
    assert curve.area.n == examples("none", "none", 0)["ade_moving"].__len__() * 7 // 8


def test_a_constant_proportion_keeps_an_honest_interval(swept_run: Path) -> None:
    """A success rate of 0 at every budget has an area of 0, but not an interval of width zero."""
    area = _curve(swept_run, "feeble", metric="success").area
    assert area is not None
    assert area.value == 0
    assert area.high is not None
    assert area.high > 0.01


def test_examples_in_another_order_give_the_same_area(swept_run: Path, tmp_path: Path) -> None:
    """Tables are matched by the examples' names."""
    import pyarrow.parquet as pq

    folder = Path(shutil.copytree(swept_run, tmp_path / "run"))
    cell = next(c for c in read_run(folder).cells if c.attack.startswith("search") and c.defense == "none")
    path = folder / "examples" / f"{cell.id}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(len(table)))[::-1]), path)
    before, after = (_curve(run, "search").area for run in (swept_run, folder))
    assert after == before


def test_a_failed_budget_leaves_a_curve_without_area(swept_run: Path, tmp_path: Path) -> None:
    """The remaining points are kept, but an area over fewer budgets could not be compared with the others."""
    folder = Path(shutil.copytree(swept_run, tmp_path / "run"))
    for cell in read_run(folder).cells:
        if cell.attack.startswith("search") and cell.budget.value == BUDGETS[1]:
            failed = cell.model_copy(update={"status": "failed", "metrics": {}, "error": "x"})
            (folder / "cells" / f"{cell.id}.json").write_text(failed.model_dump_json())
    curve = _curve(folder, "search")
    assert [point.budget for point in curve.points] == [0.0, BUDGETS[0], *BUDGETS[2:]]
    assert curve.area is None


def test_seeds_are_pooled(tmp_path: Path) -> None:
    """Two seeds give one curve whose area counts every example under both."""
    folder = write_swept_run(tmp_path / "two", seeds=2)
    curve = _curve(folder, "search")
    assert curve.area is not None
    assert curve.area.n == curve.points[1].n == 192


def test_without_a_clean_row_the_curve_starts_at_its_first_budget(swept_run: Path, tmp_path: Path) -> None:
    """The area is then the mean over the budgets that were run, and there is no default threshold."""
    folder = Path(shutil.copytree(swept_run, tmp_path / "run"))
    summary = read_run(folder)
    kept = [cell.id for cell in summary.cells if cell.attack != "none"]
    run: RunRecord = summary.run.model_copy(update={"cells": kept})
    (folder / "run.json").write_text(run.model_dump_json(by_alias=True))
    curve = _curve(folder, "search")
    assert curve.points[0].budget == BUDGETS[0]
    assert (curve.threshold, curve.crossing) == (None, None)
    values, at = [p.value for p in curve.points], [p.budget for p in curve.points]
    assert curve.area is not None
    assert curve.area.value == pytest.approx(trapezoid(values, at) / (at[-1] - at[0]))


def test_the_crossing_is_interpolated() -> None:
    """From 2 at budget 1 to 6 at budget 2, a threshold of 3 is reached at 1.25; the band's ends before and after."""
    found = crossing(_points(1.0, 2.0, 6.0), 3.0, "lower")
    assert found.value == pytest.approx(1.25)
    assert found.low == pytest.approx(1.125)
    assert found.high == pytest.approx(1.375)


def test_the_crossing_looks_at_the_bad_side() -> None:
    """Where higher is better, the curve has to fall to the threshold."""
    found = crossing(_points(9.0, 8.0, 4.0), 6.0, "higher")
    assert found.value == pytest.approx(1.5)
    assert found.low == pytest.approx(1.375)
    assert found.high == pytest.approx(1.625)
    assert crossing(_points(1.0, 2.0, 6.0), 0.1, "higher").value is None


def test_a_threshold_that_is_never_reached() -> None:
    """No crossing; still one at the worse end of the band, if that reaches it."""
    assert crossing(_points(1.0, 2.0, 3.0), 9.0, "lower") == (crossing(_points(1.0, 1.0, 1.0), 9.0, "lower"))
    found = crossing(_points(1.0, 2.0, 3.0), 3.25, "lower")
    assert (found.value, found.high) == (None, None)
    assert found.low == pytest.approx(1.75)


def test_a_clean_value_beyond_the_threshold_crosses_at_once() -> None:
    """The budget is 0."""
    assert crossing(_points(5.0, 6.0), 3.0, "lower").value == 0


def test_a_point_without_interval_leaves_the_band_unknown() -> None:
    """The crossing itself is known."""
    found = crossing(_points(1.0, 3.0, reach=None), 2.0, "lower")
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_an_infinite_value_is_reached_where_it_was_measured() -> None:
    """Nothing can be interpolated towards infinity."""
    assert crossing(_points(1.0, float("inf"), reach=None), 2.0, "lower").value == 1


@pytest.mark.parametrize(
    ("metric", "clean", "expected", "words"),
    [
        ("ade", 0.8, 1.6, "twice the undefended clean value"),
        ("success", 0.0, 0.5, "halfway from the undefended clean value to 100 %"),
        ("accuracy", 0.9, 0.45, "half of the undefended clean value"),
    ],
)
def test_the_default_threshold(
    swept_run: Path, metric: str, clean: float, expected: float, words: str
) -> None:
    """Twice, half, or halfway to all: whatever is on the bad side, from the undefended clean value."""
    from robeval.report.curves import usual_threshold
    from robeval.report.matrix import matrices
    from robeval.report.summary import chosen_metrics

    summary = read_run(swept_run)
    (matrix,) = matrices(summary, swept_run, chosen_metrics(summary, [metric]))
    row = matrix.rows[0]
    found = usual_threshold(matrix)
    assert found is not None
    assert matrix[row, "none"].figure is not None
    assert found.value == pytest.approx(expected, rel=0.2)
    assert found.origin == words


def test_a_given_threshold_is_used(swept_run: Path) -> None:
    """And said to be given."""
    curve = _curve(swept_run, "search", threshold=1.0)
    assert curve.threshold is not None
    assert (curve.threshold.value, curve.threshold.is_given) == (1.0, True)


def test_a_doubtful_point_marks_the_curve(swept_run: Path) -> None:
    """The curve has the worst verdict of its points."""
    curve = _curve(swept_run, "search", "smoothing")
    assert [point.verdict for point in curve.points] == ["ok", "ok", "ok", "suspicious"]
    assert curve.verdict == "suspicious"


def test_oblivious_and_counter_rows_have_their_own_curves(swept_run: Path) -> None:
    """Nothing is mixed into one line."""
    kinds = {
        (c.knowledge, c.counter)
        for c in curves(read_run(swept_run), swept_run)
        if c.attack.startswith("search")
    }
    assert kinds == {("adaptive", ""), ("oblivious", ""), ("adaptive", "straight-through")}
