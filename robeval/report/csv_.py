"""The report as CSV: a line per cell, metric and group; a cell without figures keeps one that says why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robeval.report.summary import chosen_metrics, metrics_of, read_run
from robeval.results.records import CellRecord

COLUMNS = (
    "id", "domain", "dataset", "victim", "attack", "defense", "knowledge", "budget_name", "budget_unit",
    "budget", "seed", "counter", "certified", "status", "verdict", "group", "metric", "value", "low", "high", "n",
    "unit", "direction", "examples", "invalid", "forward", "backward", "queries", "seconds",
    "overhead", "prepared_queries", "prepared_seconds", "winners", "error",
)  # fmt: skip


def csv_report(folder: Path, metrics: Sequence[str] | None = None, *, by_group: bool = False) -> str:
    """Every figure of a run, tidy; all metrics unless some are named.

    Raises UsageError or StoreError when the run cannot be read.
    """
    summary = read_run(folder)
    wanted = chosen_metrics(summary, metrics) if metrics else metrics_of(summary)
    names = [metric.name for metric in wanted]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in summary.cells:
        writer.writerows(_rows(cell, names, by_group=by_group))
    return stream.getvalue()


def _rows(cell: CellRecord, names: Sequence[str], *, by_group: bool) -> Iterator[dict[str, Any]]:
    about = _about(cell)
    tables = {"": cell.metrics} | (cell.groups if by_group else {})
    figures = [
        (group, name, table[name]) for group, table in tables.items() for name in names if name in table
    ]
    for group, name, figure in figures:
        yield about | {"group": group, "metric": name} | figure.model_dump()
    if not figures:
        yield about


def _about(cell: CellRecord) -> dict[str, Any]:
    same = (
        "id",
        "domain",
        "dataset",
        "victim",
        "attack",
        "defense",
        "knowledge",
        "seed",
        "counter",
        "certified",
        "status",
    )
    return {
        **{name: getattr(cell, name) for name in (*same, "verdict", "invalid", "error")},
        "budget_name": cell.budget.name,
        "budget_unit": cell.budget.unit,
        "budget": cell.budget.value,
        "examples": cell.n,
        "winners": "; ".join(f"{attack} {count}" for attack, count in cell.winners.items()),
        **cell.cost.model_dump(),
    }
