"""Security curves: how a figure moves as the attacker may spend more, its area, and where it becomes too bad.

The area of a curve of means is the mean of every example's own area, so it has an interval like any mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robeval.errors import UsageError
from robeval.report.curve_areas import Places, areas
from robeval.report.matrix import SEVERITY, Matrix, Row, families, matrices
from robeval.report.summary import chosen_metrics
from robeval.results.records import Figure, MetricRecord, Summary, Verdict


@dataclass(frozen=True)
class Point:
    """A figure at one budget, pooled over seeds."""

    budget: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict = "ok"

    @property
    def doubtful(self) -> bool:
        """Whether the figure is marked."""
        return self.verdict != "ok"


@dataclass(frozen=True)
class Threshold:
    """The value from which a figure is too bad, and in words where it comes from."""

    value: float
    origin: str
    is_given: bool = False


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
    limit = (
        Threshold(threshold, "the given threshold", is_given=True)
        if threshold is not None
        else usual_threshold(matrix)
    )
    clean = next((row for row in matrix.rows if row.is_clean), None)
    drafts: list[tuple[Curve, Places]] = []
    for rows in families(matrix.rows).values():
        if len(rows) < 2:
            continue
        places = _with_clean(rows, clean)
        for defense in matrix.columns:
            points = tuple(_points(matrix, places, defense))
            if len(points) > 1:
                cells = [(budget, matrix[row, defense].done) for budget, row in places]
                drafts.append((_draft(matrix, rows[0], defense, points, limit), cells))
    sizes = areas(matrix, folder, [places for _, places in drafts])
    return [replace(curve, area=area) for (curve, _), area in zip(drafts, sizes, strict=True)]


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


def given_thresholds(texts: Sequence[str], metrics: Sequence[MetricRecord]) -> dict[str, float]:
    """Thresholds by metric, from ``3``, ``50%`` or ``success=50%``; without a name the first metric is meant.

    Raises UsageError for what is no number, an unknown metric, or a share outside 0 to 1.
    """
    known = {metric.name: metric for metric in metrics}
    found = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        metric = known.get(name) if equals else next(iter(metrics), None)
        if metric is None:
            raise UsageError(f"--threshold {text}: no metric '{name}' is shown. Shown: {', '.join(known)}")
        scale = 0.01 if value.endswith("%") else 1.0
        try:
            number = float(value.removesuffix("%")) * scale
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(f"--threshold {text}: '{value}' is no number. Write 3, 50% or {metric.name}=3")
        if metric.kind == "proportion" and not 0 <= number <= 1:
            raise UsageError(f"--threshold {text}: {metric.name} is a share. Write 50% or 0.5")
        found[metric.name] = number
    return found


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
