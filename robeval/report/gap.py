"""What an attacker gains by knowing the defense: adaptive against oblivious rows, example by example."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from robeval.report.compare_examples import Matched, matched
from robeval.report.matrix import SEVERITY, Entry, Matrix, Row, at_largest_budgets, countered, matrices
from robeval.report.summary import chosen_metrics
from robeval.results.records import Summary, Verdict
from robeval.statistics.comparisons import Comparison, paired_comparisons
from robeval.statistics.holm import holm

ALPHA = 0.05
_MOST_OF_IT = 0.5
"""A defense that loses this share of its gain to an attacker who knows it relies on not being known."""

Outcome = Literal["relies", "helps", "misled", "none"]


@dataclass(frozen=True)
class Gap:
    """One attack at one budget against one defense, known and unknown. The difference is adaptive − oblivious."""

    matrix: Matrix
    row: Row
    """The adaptive row."""
    defense: str
    oblivious: Entry
    adaptive: Entry
    comparison: Comparison
    p: float | None = None
    """Holm's, over all gaps of the report."""
    lost: float | None = None
    """The share of the defense's gain over no defense that the knowing attacker takes back."""

    @property
    def verdict(self) -> Verdict:
        """The worse of both figures'."""
        return max(self.oblivious.verdict, self.adaptive.verdict, key=SEVERITY.index)

    @property
    def outcome(self) -> Outcome:
        """What the difference says, at the 5 % level."""
        found = self.comparison.difference.value
        if self.p is None or self.p > ALPHA or not found:
            return "none"
        if (found > 0) != (self.matrix.metric.direction == "lower"):
            return "misled"
        return "relies" if self.lost is not None and self.lost >= _MOST_OF_IT else "helps"


def gaps(summary: Summary, folder: Path, metric: str | None = None, *, by_budget: bool = False) -> list[Gap]:
    """The gaps of one metric (the headline by default): at each attack's largest budget, or `by_budget` at all.

    Raises UsageError for an unknown metric, StoreError when a per-example table cannot be read.
    """
    tables = matrices(summary, folder, chosen_metrics(summary, [metric] if metric else None))
    return gaps_of(tables, folder, by_budget=by_budget)


def by_metric(tables: Sequence[Matrix]) -> list[list[Matrix]]:
    """The matrices over all examples, one list per metric: the gaps of a metric are corrected together."""
    found: dict[str, list[Matrix]] = {}
    for matrix in tables:
        if not matrix.group:
            found.setdefault(matrix.metric.name, []).append(matrix)
    return list(found.values())


def gaps_of(tables: Sequence[Matrix], folder: Path, *, by_budget: bool = False) -> list[Gap]:
    """The gaps of matrices that are there already; their p-values are corrected together."""
    found = [
        gap
        for matrix in tables
        if not matrix.group
        for gap in _of_matrix(matrix if by_budget else at_largest_budgets(matrix, most=1), folder)
    ]
    corrected = holm([gap.comparison.p for gap in found])
    return [replace(gap, p=p) for gap, p in zip(found, corrected, strict=True)]


def _of_matrix(matrix: Matrix, folder: Path) -> list[Gap]:
    places = list(_places(matrix))
    pairs = [
        matched(folder, matrix[other, name].done, folder, matrix[row, name].done, matrix.metric)
        for row, other, name in places
    ]
    compared = _compared(pairs)
    return [
        Gap(
            matrix,
            row,
            defense,
            matrix[other, defense],
            matrix[row, defense],
            compared[k],
            lost=_lost(matrix, row, other, defense),
        )
        for k, (row, other, defense) in enumerate(places)
        if k in compared
    ]


def _places(matrix: Matrix) -> Iterator[tuple[Row, Row, str]]:
    """Adaptive row, oblivious row and defense wherever both have a figure. Nothing is there to know of `none`."""
    for row in matrix.rows:
        other = replace(row, knowledge="oblivious")
        if row.knowledge != "adaptive" or other not in matrix.rows or countered(row.attack):
            continue
        for defense in matrix.columns:
            both = matrix[row, defense], matrix[other, defense]
            if defense != "none" and all(e.status == "done" and e.figure is not None for e in both):
                yield row, other, defense


def _compared(pairs: Sequence[Matched | str]) -> dict[int, Comparison]:
    """The comparisons by number; those over the same examples share their resamples."""
    alike: dict[tuple[str, ...], dict[int, Matched]] = {}
    for k, pair in enumerate(pairs):
        if isinstance(pair, Matched) and pair.paired:
            alike.setdefault(pair.first_clusters, {})[k] = pair
    found: dict[int, Comparison] = {}
    for clusters, same in alike.items():
        columns = {k: (pair.first, pair.second) for k, pair in same.items()}
        found |= paired_comparisons(columns, clusters)
    return found


def _lost(matrix: Matrix, row: Row, other: Row, defense: str) -> float | None:
    bare, unknown, known = (
        entry.figure.value if entry.figure and entry.status == "done" else None
        for entry in (matrix[row, "none"], matrix[other, defense], matrix[row, defense])
    )
    if bare is None or unknown is None or known is None:
        return None
    gain = bare - unknown if matrix.metric.direction == "lower" else unknown - bare
    if gain <= 0 or not math.isfinite(gain):
        return None
    return abs(known - unknown) / gain
