"""Recorded and new outcomes of all cells, paired example by example and tested as one family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robeval.gate.verdict import Power
from robeval.results.baseline import TOLERANCE, BaselineCell, BaselineMetric, Outcomes
from robeval.statistics.comparisons import Comparison, paired_comparisons
from robeval.statistics.holm import holm
from robeval.statistics.intervals import Column, Interval
from robeval.statistics.permutations import Alternative, enough_shuffles
from robeval.statistics.power import clusters_needed

POWER = 0.8
_POWER_QUANTILE = 0.8416
_FOR_P_ALONE = 100
"""Resamples where the interval is not read."""

Table = dict[str, np.ndarray]


class Place(NamedTuple):
    """One cell and metric."""

    cell: str
    metric: str


@dataclass(frozen=True)
class Paired:
    """How a figure moved. `p_worse` and `p_better` are one-sided and corrected over the whole family."""

    comparison: Comparison
    p_worse: float | None
    p_better: float | None
    lost: int
    """Recorded outcomes without a counterpart."""
    added: int
    """New outcomes without a recorded one."""
    recorded: Table
    family: int


def compare(
    cells: Sequence[BaselineCell], metrics: Sequence[BaselineMetric], recorded: Outcomes, now: Outcomes
) -> dict[Place, Paired]:
    """Every cell and metric, paired on seed and example, in one family of tests."""
    family = len(cells) * len(metrics)
    worse: dict[Place, Comparison] = {}
    better: dict[Place, float | None] = {}
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        names = [cell.name for cell in cells if cell.dataset == dataset]
        aligned = _Aligned.of([*(recorded[name] for name in names), *(now[name] for name in names)])
        for direction in ("higher", "lower"):
            pairs = {
                Place(name, metric.name): (
                    aligned.column(recorded[name], metric),
                    aligned.column(now[name], metric),
                )
                for metric in metrics
                if metric.direction == direction
                for name in names
            }
            if not pairs:
                continue
            down, up = _sides(direction)
            shuffles = enough_shuffles(family)
            worse |= paired_comparisons(pairs, aligned.clusters, alternative=down, shuffles=shuffles)
            other = paired_comparisons(
                pairs, aligned.clusters, alternative=up, shuffles=shuffles, resamples=_FOR_P_ALONE
            )
            better |= {place: comparison.p for place, comparison in other.items()}
    corrected = dict(zip(worse, holm([found.p for found in worse.values()]), strict=True))
    improved = dict(zip(worse, holm([better[place] for place in worse]), strict=True))
    return {
        place: Paired(
            comparison,
            corrected[place],
            improved[place],
            *_unpaired(recorded[place.cell], now[place.cell]),
            recorded[place.cell],
            family,
        )
        for place, comparison in worse.items()
    }


def _sides(direction: str) -> tuple[Alternative, Alternative]:
    """What worse and better mean for second against first."""
    return ("less", "greater") if direction == "higher" else ("greater", "less")


class _Aligned:
    """One order of outcomes for many tables."""

    def __init__(self, places: dict[tuple[int, str], int], clusters: list[str]) -> None:
        self.places = places
        self.clusters = np.asarray(clusters, dtype=str)

    @classmethod
    def of(cls, tables: Sequence[Table]) -> _Aligned:
        """The union of all outcomes in order of appearance."""
        places: dict[tuple[int, str], int] = {}
        clusters: list[str] = []
        for table in tables:
            for key, cluster in zip(_keys(table), table["cluster"].tolist(), strict=True):
                if key not in places:
                    places[key] = len(clusters)
                    clusters.append(cluster)
        return cls(places, clusters)

    def column(self, table: Table, metric: BaselineMetric) -> Column:
        """A table's column in this order; NaN where it has no such outcome."""
        where = [self.places[key] for key in _keys(table)]

        def spread(name: str) -> npt.NDArray[np.float64]:
            found = np.full(len(self.clusters), np.nan)
            found[where] = table[name]
            return found

        per = spread(metric.per) if metric.per else None
        return Column(spread(metric.column), per, metric.kind == "proportion")


def _keys(table: Table) -> list[tuple[int, str]]:
    return list(zip(table["seed"].tolist(), table["example"].tolist(), strict=True))


def _unpaired(recorded: Table, now: Table) -> tuple[int, int]:
    before, after = set(_keys(recorded)), set(_keys(now))
    return len(before - after), len(after - before)


def worsening(paired: Paired, metric: BaselineMetric) -> Interval:
    """By how much the figure got worse; negative where it got better."""
    value, low, high, n = paired.comparison.difference
    if metric.direction == "lower":
        return Interval(value, low, high, n)
    return Interval(
        None if value is None else -value,
        None if high is None else -high,
        None if low is None else -low,
        n,
    )


def power(paired: Paired, metric: BaselineMetric, allowance: float, alpha: float) -> Power:
    """What this cell's sample could have shown, as the first of its family to be significant."""
    comparison = paired.comparison
    table = paired.recorded
    examples = len(set(table["example"].tolist()))
    per_cluster = examples / max(len(set(table["cluster"].tolist())), 1)
    first = 0.0 if comparison.first is None else comparison.first
    small = TOLERANCE * abs(first) if metric.relative else TOLERANCE
    strict, (down, _) = alpha / paired.family, _sides(metric.direction)
    shares = comparison.proportion
    spread = comparison.spread
    if spread == 0 and not shares:
        # Nothing changed, so nothing says how much it might: as if the new outcomes knew nothing of the old.
        spread = math.sqrt(2) * _spread(table, metric)
        comparison = comparison._replace(spread=spread)
    smallest = comparison.detectable(power=POWER, alpha=strict, alternative=down)
    if smallest is not None and spread is not None:
        smallest = max(smallest, allowance + _POWER_QUANTILE * spread / math.sqrt(comparison.clusters))
    needed = None
    if spread is not None and math.isfinite(spread) and small > 0:
        try:
            clusters = clusters_needed(
                small, spread, power=POWER, alpha=strict, alternative=down, proportion=shares
            )
            needed = math.ceil(clusters * per_cluster)
        except ValueError:
            needed = None
    return Power(smallest, small, needed, examples)


def _spread(table: Table, metric: BaselineMetric) -> float:
    """The deviation of a figure between clusters, such that its standard error is spread / sqrt(clusters)."""
    values = table[metric.column].astype(np.float64)
    per = table[metric.per].astype(np.float64) if metric.per else np.ones_like(values)
    here = ~(np.isnan(values) | np.isnan(per))
    values, per = values[here], per[here]
    _, place = np.unique(table["cluster"][here], return_inverse=True)
    many = int(place.max(initial=-1)) + 1
    if many < 2:
        return 0.0
    with np.errstate(all="ignore"):
        residual = (values - values.mean() / per.mean() * per) / per.mean()
    sums = np.bincount(place, residual)
    return float(np.sqrt(many / (many - 1) * (sums**2).sum() * many) / len(values))
