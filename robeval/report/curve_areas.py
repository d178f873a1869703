"""The area under a security curve: the mean of every example's own area, so that it has an interval.

The area of a ratio of means is the ratio of the examples' mean areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robeval.report.matrix import Matrix
from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, Figure, MetricRecord
from robeval.statistics.intervals import Column, intervals

Floats = npt.NDArray[np.float64]
Places = Sequence[tuple[float, Sequence[CellRecord]]]
"""The budgets of a curve, ascending, and the finished cells of all seeds at each."""
Table = dict[str, npt.NDArray[np.generic]]


class _Sample(NamedTuple):
    """Every example's area: its cluster, and the areas of numerator and denominator."""

    clusters: npt.NDArray[Any]
    values: Floats
    per: Floats | None


def trapezoid_weights(budgets: Sequence[float]) -> Floats:
    """What each budget's value counts in the normalised area: they add up to 1."""
    at = np.asarray(budgets, dtype=np.float64)
    width = np.diff(at)
    weights: Floats = np.zeros(len(at))
    weights[:-1] += width / 2
    weights[1:] += width / 2
    weights /= at[-1] - at[0]
    return weights


def areas(matrix: Matrix, folder: Path, asked: Sequence[Places]) -> list[Figure | None]:
    """The area of each curve, all curves over the same examples from the same resamples."""
    metric = matrix.metric
    tables = _Tables(folder, metric)
    alike: dict[bytes, tuple[npt.NDArray[Any], dict[int, Column]]] = {}
    for k, places in enumerate([] if matrix.group else asked):
        sample = _sampled(tables, places)
        if sample is not None:
            _, columns = alike.setdefault(sample.clusters.tobytes(), (sample.clusters, {}))
            # Areas of a proportion are 0 or 1 only where all budgets agree; `intervals` sees which.
            columns[k] = Column(sample.values, sample.per, metric.kind == "proportion")
    found: list[Figure | None] = [None] * len(asked)
    for clusters, columns in alike.values():
        named = {str(k): column for k, column in columns.items()}
        for name, figure in intervals(named, clusters).items():
            found[int(name)] = Figure(**figure._asdict(), unit=metric.unit, direction=metric.direction)
    return found


class _Tables:
    """Per-example tables of one metric; those of clean cells, which every attack's curve needs, are kept."""

    def __init__(self, folder: Path, metric: MetricRecord) -> None:
        self.folder, self.metric = folder, metric
        self._clean: dict[str, Table] = {}

    def read(self, cell: CellRecord) -> Table:
        if cell.id in self._clean:
            return self._clean[cell.id]
        columns = list(dict.fromkeys(filter(None, (self.metric.column, self.metric.per))))
        table = read_examples(self.folder, cell.id, columns, ("example", "cluster"))
        if cell.attack == "none":
            self._clean[cell.id] = table
        return table


def _sampled(tables: _Tables, places: Places) -> _Sample | None:
    """The areas of all examples under all seeds that have every budget; None when no seed has."""
    metric = tables.metric
    by_seed = [{cell.seed: cell for cell in cells if metric.name in cell.metrics} for _, cells in places]
    seeds = sorted(set.intersection(*(set(cells) for cells in by_seed)))
    weights = trapezoid_weights([budget for budget, _ in places])
    parts = []
    for seed in seeds:
        read = _aligned([tables.read(cells[seed]) for cells in by_seed])
        values = _weighted(read, metric.column, weights)
        per = _weighted(read, metric.per, weights) if metric.per else None
        parts.append(_Sample(np.asarray(read[0]["cluster"], dtype=np.str_), values, per))
    if not parts:
        return None
    return _Sample(
        np.concatenate([part.clusters for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.per for part in parts if part.per is not None]) if metric.per else None,
    )


def _weighted(tables: Sequence[Table], column: str, weights: Floats) -> Floats:
    stacked = np.stack([np.asarray(table[column], dtype=np.float64) for table in tables])
    return np.asarray((weights[:, None] * stacked).sum(axis=0), dtype=np.float64)


def _aligned(
    tables: Sequence[Table],
) -> list[Table]:
    """The tables cut to the examples that all have, in one order."""
    first = tables[0]["example"]
    if all(np.array_equal(table["example"], first) for table in tables):
        return list(tables)
    shared = set(first.tolist()).intersection(*(table["example"].tolist() for table in tables))
    cut = []
    for table in tables:
        order = np.argsort(table["example"], kind="stable")
        kept = order[np.isin(table["example"][order], list(shared))]
        cut.append({name: values[kept] for name, values in table.items()})
    return cut
