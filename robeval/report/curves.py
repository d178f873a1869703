"""Security curves: how a figure moves as the attacker may spend more, its area, and where it becomes too bad.

The area of a curve of means is the mean of every example's own area, so it has an interval like any mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robeval.report.matrix import SEVERITY, Matrix, Row, matrices
from robeval.report.summary import chosen_metrics
from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, Figure, MetricRecord, Summary, Verdict
from robeval.statistics.intervals import Column, intervals

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A figure at one budget, pooled over seeds."""

    budget: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict = "ok"


@dataclass(frozen=True)
class Threshold:
    """The value from which a figure is too bad, and in words where it comes from."""

    value: float
    origin: str


@dataclass(frozen=True)
class Crossing:
    """The smallest budget at which a curve reaches its threshold, linear between the budgets that were run.

    `low` is where the worse end of the confidence band reaches it, `high` where the better end does. None: not
    within the budgets that were run; `high` (and `low` with it) is also None where the band is not known.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """One attack against one defense, from no budget (the clean row) upwards; at least two points."""

    dataset: str
    victim: str
    attack: str
    defense: str
    knowledge: str
    counter: str
    budget_name: str
    unit: str
    metric: MetricRecord
    points: tuple[Point, ...]
    area: Figure | None
    """The mean over the budgets, in the metric's unit; None where a planned budget has no figure."""
    threshold: Threshold | None
    crossing: Crossing | None
    """None without a threshold."""

    @property
    def verdict(self) -> Verdict:
        """The worst over the points."""
        return max((point.verdict for point in self.points), key=SEVERITY.index)

    @property
    def largest(self) -> float:
        """The largest budget with a figure."""
        return self.points[-1].budget


def curves(
    summary: Summary, folder: Path, metric: str | None = None, threshold: float | None = None
) -> list[Curve]:
    """All curves of one metric (the headline by default), in the order of the matrix.

    Without `threshold` it is half of the undefended clean value where higher is better, twice where lower is;
    for proportions of which lower is better, halfway from there to all.
    Raises UsageError for an unknown metric, StoreError when a per-example table cannot be read.
    """
    metrics = chosen_metrics(summary, [metric] if metric else None)
    return [
        curve
        for matrix in matrices(summary, folder, metrics)
        for curve in curves_of(matrix, folder, threshold)
    ]


def curves_of(matrix: Matrix, folder: Path, threshold: float | None = None) -> list[Curve]:
    """The curves of a matrix that is there already; a group's curves have no area."""
    limit = Threshold(threshold, "as given") if threshold is not None else usual_threshold(matrix)
    clean = next((row for row in matrix.rows if row.is_clean), None)
    drafts: list[tuple[Curve, _Places]] = []
    for rows in _families(matrix.rows):
        places = _with_clean(rows, clean)
        for defense in matrix.columns:
            points = tuple(_points(matrix, places, defense))
            if len(points) > 1:
                cells = [(budget, matrix[row, defense].done) for budget, row in places]
                drafts.append((_draft(matrix, rows[0], defense, points, limit), cells))
    areas = _areas(matrix, folder, [places for _, places in drafts])
    return [replace(curve, area=area) for (curve, _), area in zip(drafts, areas, strict=True)]


def usual_threshold(matrix: Matrix) -> Threshold | None:
    """The default threshold of a matrix; None where the undefended clean value gives none."""
    metric = matrix.metric
    clean = next((row for row in matrix.rows if row.is_clean), None)
    defense = "none" if "none" in matrix.columns else next(iter(matrix.columns), "")
    figure = matrix[clean, defense].figure if clean else None
    value = figure.value if figure else None
    if value is None or not math.isfinite(value):
        return None
    whose = "the undefended clean value" if defense == "none" else f"the clean value of {defense}"
    if metric.direction == "lower" and metric.kind == "proportion":
        return Threshold((1 + value) / 2, f"halfway from {whose} to 100 %")
    if value <= 0:
        return None
    if metric.direction == "lower":
        return Threshold(2 * value, f"twice {whose}")
    return Threshold(value / 2, f"half of {whose}")


def _families(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows that differ in their budget only, ascending, where there are several."""
    found: dict[Row, list[Row]] = {}
    for row in rows:
        if not (row.is_clean or row.certified):
            found.setdefault(row.family, []).append(row)
    return [sorted(same, key=lambda row: row.budget.value) for same in found.values() if len(same) > 1]


def _with_clean(rows: Sequence[Row], clean: Row | None) -> list[tuple[float, Row]]:
    places = [(row.budget.value, row) for row in rows]
    return [(0.0, clean), *places] if clean is not None and places[0][0] > 0 else places


def _points(matrix: Matrix, places: Sequence[tuple[float, Row]], defense: str) -> Iterator[Point]:
    for budget, row in places:
        entry = matrix[row, defense]
        figure = entry.figure
        if entry.status == "done" and figure is not None and figure.value is not None:
            yield Point(budget, figure.value, figure.low, figure.high, figure.n, entry.verdict)


def _draft(
    matrix: Matrix, row: Row, defense: str, points: tuple[Point, ...], limit: Threshold | None
) -> Curve:
    return Curve(
        dataset=matrix.dataset,
        victim=matrix.victim,
        attack=row.attack,
        defense=defense,
        knowledge=row.knowledge,
        counter=row.counter,
        budget_name=row.budget.name,
        unit=row.budget.unit,
        metric=matrix.metric,
        points=points,
        area=None,
        threshold=limit,
        crossing=crossing(points, limit.value, matrix.metric.direction) if limit else None,
    )


def crossing(points: Sequence[Point], threshold: float, direction: str) -> Crossing:
    """Where the points' values, and the ends of their intervals, first reach the bad side of a threshold.

    `direction` is what is better for the defender. Points without a value are passed over.
    """
    sign = 1.0 if direction == "lower" else -1.0
    known = [point for point in points if point.value is not None]
    values = [(point.budget, sign * (point.value or 0.0)) for point in known]
    found = _reached(values, sign * threshold)
    worse, better = [], []
    for point in known:
        if point.low is None or point.high is None:
            return Crossing(found, None, None)
        ends = sorted((sign * point.low, sign * point.high))
        better.append((point.budget, ends[0]))
        worse.append((point.budget, ends[1]))
    return Crossing(found, _reached(worse, sign * threshold), _reached(better, sign * threshold))


def _reached(line: Sequence[tuple[float, float]], threshold: float) -> float | None:
    """The first budget at which a line rises to the threshold."""
    for k, (budget, value) in enumerate(line):
        if value < threshold:
            continue
        if k == 0 or math.isinf(value):
            return budget
        before, lower = line[k - 1]
        return before + (budget - before) * (threshold - lower) / (value - lower)
    return None


_Places = Sequence[tuple[float, Sequence[CellRecord]]]


class _Sample(NamedTuple):
    """Every example's area: its cluster, and the areas of numerator and denominator."""

    clusters: npt.NDArray[np.str_]
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


def _areas(matrix: Matrix, folder: Path, asked: Sequence[_Places]) -> list[Figure | None]:
    """The area of each curve, all curves over the same examples from the same resamples."""
    metric = matrix.metric
    tables = _Tables(folder, metric)
    alike: dict[bytes, tuple[npt.NDArray[np.str_], dict[int, Column]]] = {}
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
        self._clean: dict[str, dict[str, npt.NDArray[np.generic]]] = {}

    def read(self, cell: CellRecord) -> dict[str, npt.NDArray[np.generic]]:
        if cell.id in self._clean:
            return self._clean[cell.id]
        columns = list(dict.fromkeys(filter(None, (self.metric.column, self.metric.per))))
        table = read_examples(self.folder, cell.id, columns, ("example", "cluster"))
        if cell.attack == "none":
            self._clean[cell.id] = table
        return table


def _sampled(tables: _Tables, places: _Places) -> _Sample | None:
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


def _weighted(tables: Sequence[dict[str, npt.NDArray[np.generic]]], column: str, weights: Floats) -> Floats:
    stacked = np.stack([np.asarray(table[column], dtype=np.float64) for table in tables])
    return np.asarray((weights[:, None] * stacked).sum(axis=0), dtype=np.float64)


def _aligned(
    tables: Sequence[dict[str, npt.NDArray[np.generic]]],
) -> list[dict[str, npt.NDArray[np.generic]]]:
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
