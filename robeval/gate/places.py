"""A run's cells by their place in the matrix, all seeds together, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from robeval.report.tables import read_examples
from robeval.results.baseline import BaselineMetric, Outcomes, cell_name
from robeval.results.records import CellRecord


def places(cells: Iterable[CellRecord]) -> dict[str, list[CellRecord]]:
    """The planned cells by name in the order of the plan; rows that an audit added are left out."""
    found: dict[str, list[CellRecord]] = {}
    for cell in cells:
        if not is_from_audit(cell):
            found.setdefault(cell_name(cell), []).append(cell)
    return found


def is_from_audit(cell: CellRecord) -> bool:
    """Whether the experiment did not ask for it: a counter-measure's row."""
    name, _, options = cell.attack.partition(":")
    return bool(cell.counter) or (name == "worst-of" and "of=" in options)


def outcomes_of(folder: Path, cells: Sequence[CellRecord], metrics: Sequence[BaselineMetric]) -> Outcomes:
    """The outcomes of one place over its seeds, under its name.

    Raises StoreError when a table is missing, damaged or lacks a column.
    """
    columns = sorted({column for metric in metrics for column in metric.columns})
    tables = [read_examples(folder, cell.id, columns, ("example", "cluster")) for cell in cells]
    seeds = [np.full(len(t["example"]), c.seed, np.int32) for c, t in zip(cells, tables, strict=True)]
    joined = {name: np.concatenate([table[name] for table in tables]) for name in ("example", "cluster")}
    # Both sides of a comparison are rounded alike, so that equal outcomes stay equal.
    values = {name: np.concatenate([table[name] for table in tables]).astype(np.float32) for name in columns}
    return {cell_name(cells[0]): {"seed": np.concatenate(seeds), **joined, **values}}


def figure(table: dict[str, np.ndarray], metric: BaselineMetric) -> float | None:
    """The metric over all outcomes of a place; None where it applies to none, or is not finite."""
    values = table[metric.column].astype(np.float64)
    per = table[metric.per].astype(np.float64) if metric.per else np.ones_like(values)
    here = ~(np.isnan(values) | np.isnan(per))
    if not here.any():
        return None
    with np.errstate(all="ignore"):
        found = float(values[here].sum() / per[here].sum())
    return found if np.isfinite(found) else None
