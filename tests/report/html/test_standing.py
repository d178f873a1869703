"""Which defense is called the best, and when none is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robeval.report.html.standing import Standing, level_with_best, verdict
from robeval.report.matrix import Entry, Matrix, Row
from robeval.results.records import BudgetRecord, CellRecord, Figure, MetricRecord

METRIC = MetricRecord(name="error", unit="m", direction="lower", column="error")
CLEAN = Row("none", BudgetRecord(name="nothing", unit="", value=0.0), "adaptive", False)
WEAK = Row("weak", BudgetRecord(name="deviation", unit="m", value=1.0), "adaptive", False)
STRONG = Row("strong", BudgetRecord(name="deviation", unit="m", value=1.0), "adaptive", False)


def _cell(name: str, **changes: Any) -> CellRecord:
    record = {
        "id": name, "domain": "line", "dataset": "points", "victim": "ruler", "attack": "weak", "defense": name,
        "knowledge": "adaptive", "budget": {"name": "deviation", "unit": "m", "value": 1.0}, "seed": 0, "n": 40,
        "invalid": 0, "status": "done", "verdict": "ok", "evidence": [],
        "metrics": {"error": {"value": 1.0, "low": None, "high": None, "unit": "m", "direction": "lower", "n": 40}},
        "cost": {"forward": 0.0, "backward": 0.0, "queries": 0.0, "seconds": 0.0},
    }  # fmt: skip
    return CellRecord.model_validate(record | changes)


def _entry(value: float | None, spread: float = 0.1, **changes: Any) -> Entry:
    figure = None
    if value is not None:
        figure = Figure(
            value=value, low=value - spread, high=value + spread, unit="m", direction="lower", n=40
        )
    return Entry((_cell("any", **changes),), figure)


def _matrix(**columns: tuple[Entry, Entry, Entry]) -> Matrix:
    entries = {
        (row, name): entry
        for name, column in columns.items()
        for row, entry in zip((CLEAN, WEAK, STRONG), column, strict=True)
    }
    return Matrix("points", "ruler", METRIC, "", (CLEAN, WEAK, STRONG), tuple(columns), entries)


def _of(matrix: Matrix, name: str) -> Standing:
    return next(s for s in verdict(matrix).standings if s.defense == name)


def test_the_best_defense_has_the_best_worst_case() -> None:
    """It is not the one that does best on average or when it is not attacked."""
    matrix = _matrix(
        none=(_entry(1.0), _entry(2.0), _entry(9.0)),
        shield=(_entry(3.0), _entry(4.0), _entry(5.0)),
        wall=(_entry(1.0), _entry(1.0), _entry(6.0)),
    )
    found = verdict(matrix)
    assert [s.defense for s in found.standings] == ["shield", "wall", "none"]
    assert found.best is found.standings[0]
    assert found.best.by == STRONG


def test_where_higher_is_better_the_worst_case_is_the_lowest() -> None:
    """The metric's direction decides."""
    matrix = _matrix(
        none=(_entry(0.9), _entry(0.8), _entry(0.1)), shield=(_entry(0.7), _entry(0.6), _entry(0.5))
    )
    higher = replace(matrix, metric=METRIC.model_copy(update={"direction": "higher"}))
    best = verdict(higher).best
    assert best is not None
    assert (best.defense, best.worst and best.worst.value) == ("shield", 0.5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": "suspicious"}, "suspicious"),
        ({"verdict": "invalid"}, "invalid"),
        ({"status": "failed"}, "failed"),
        ({"status": "n/a"}, "not possible here"),
    ],
)
def test_a_defense_with_a_doubtful_cell_never_wins(changes: dict[str, Any], reason: str) -> None:
    """Escaping the strongest attack is no proof: it stands below the settled ones and is named as a rival."""
    matrix = _matrix(
        none=(_entry(1.0), _entry(2.0), _entry(9.0)),
        shield=(_entry(1.0), _entry(4.0), _entry(5.0)),
        mask=(_entry(1.0), _entry(1.0), _entry(1.0, **changes)),
    )
    found = verdict(matrix)
    assert found.best is not None
    assert found.best.defense == "shield"
    assert found.standings[-1].unsettled == ((STRONG, reason),)
    assert [s.defense for s in found.doubtful_rivals] == ["mask"]


def test_an_unsettled_defense_that_is_worse_already_is_no_rival() -> None:
    """What is still open can only make it worse."""
    matrix = _matrix(
        none=(_entry(1.0), _entry(2.0), _entry(9.0)),
        shield=(_entry(1.0), _entry(4.0), _entry(5.0)),
        sieve=(_entry(1.0), _entry(8.0), _entry(1.0, verdict="suspicious")),
    )
    assert verdict(matrix).doubtful_rivals == []


def test_there_is_no_best_of_one() -> None:
    """A verdict compares at least two settled defenses."""
    matrix = _matrix(
        none=(_entry(1.0), _entry(2.0), _entry(None, status="missing")),
        shield=(_entry(1.0), _entry(4.0), _entry(5.0)),
    )
    assert verdict(matrix).best is None


def test_a_counter_measure_is_asked_of_flagged_defenses_only() -> None:
    """Its row is empty for the others, and that leaves nothing open."""
    counter = replace(STRONG, counter="average the gradient")
    plain = _matrix(
        none=(_entry(1.0), _entry(2.0), _entry(9.0)), shield=(_entry(1.0), _entry(4.0), _entry(5.0))
    )
    matrix = replace(
        plain, rows=(*plain.rows, counter), entries={**plain.entries, (counter, "shield"): _entry(7.0)}
    )
    assert _of(matrix, "none").is_settled
    assert _of(matrix, "shield").by == counter


def _tables(folder: Path, **errors: np.ndarray) -> dict[str, CellRecord]:
    (folder / "examples").mkdir()
    for name, values in errors.items():
        names = [f"e{k}" for k in range(len(values))]
        table = {"example": names, "cluster": names, "group": [""] * len(values), "error": values}
        pq.write_table(pa.table(table), folder / "examples" / f"{name}.parquet")
    return {name: _cell(name) for name in errors}


def test_a_lead_is_clear_when_the_examples_agree(tmp_path: Path) -> None:
    """A small lead on every example is clear though the intervals overlap; a lead by chance is not."""
    rng = np.random.default_rng(0)
    hard = rng.normal(5.0, 2.0, 40)
    cells = _tables(
        tmp_path, shield=hard, none=hard + rng.normal(0.3, 0.05, 40), twin=hard + rng.normal(0, 0.2, 40)
    )
    wide = {
        name: _entry(float(value), 0.6) for name, value in (("shield", 5.0), ("none", 5.3), ("twin", 5.1))
    }
    strong = {name: replace(entry, cells=(cells[name],)) for name, entry in wide.items()}
    matrix = _matrix(
        **{name: (_entry(1.0), _entry(2.0), strong[name]) for name in ("none", "shield", "twin")}
    )
    level = level_with_best(verdict(matrix), matrix, tmp_path)
    assert [s.defense for s in level] == ["twin"]
