"""Which defense holds best, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robeval.report.compare_examples import Matched, matched
from robeval.report.matrix import Entry, Matrix, Row
from robeval.results.records import Figure, MetricRecord
from robeval.statistics.comparisons import paired_comparison
from robeval.statistics.holm import holm

ALPHA = 0.05

REASONS = {
    "suspicious": "suspicious",
    "invalid": "invalid",
    "failed": "failed",
    "missing": "not run yet",
    "n/a": "not possible here",
    "empty": "without a figure",
}


@dataclass(frozen=True)
class Standing:
    """A defense under the attack that hurts it most."""

    defense: str
    clean: Figure | None
    worst: Figure | None
    by: Row | None
    unsettled: tuple[tuple[Row, str], ...]
    """Rows that could still change the figure, and why: suspicious, invalid, failed, missing or n/a."""

    @property
    def is_settled(self) -> bool:
        """Whether every attack of the matrix has a figure that may be trusted here."""
        return self.worst is not None and not self.unsettled


@dataclass(frozen=True)
class Verdict:
    """The defenses from best to worst; the unsettled ones come last."""

    metric: MetricRecord
    standings: tuple[Standing, ...]

    @property
    def best(self) -> Standing | None:
        """The settled defense whose worst figure is best; None when nothing can be said."""
        settled = [standing for standing in self.standings if standing.is_settled]
        return settled[0] if len(settled) > 1 else None

    @property
    def undefended(self) -> Standing | None:
        """The column without a defense."""
        return next((s for s in self.standings if s.defense == "none"), None)

    @property
    def doubtful_rivals(self) -> list[Standing]:
        """Unsettled defenses whose figure so far is better than that of the best."""
        best = self.best
        if best is None or best.worst is None:
            return []
        rank = _badness(best.worst, self.metric)
        return [
            s
            for s in self.standings
            if not s.is_settled and (s.worst is None or _badness(s.worst, self.metric) < rank)
        ]


def verdict(matrix: Matrix) -> Verdict:
    """The standings of a matrix. Clean and certified rows are no attacks."""
    rows = [row for row in matrix.rows if not (row.is_clean or row.certified)]
    found = [_standing(matrix, name, rows) for name in matrix.columns]

    def rank(standing: Standing) -> tuple[bool, bool, float]:
        worst = standing.worst
        return (
            not standing.is_settled,
            worst is None,
            _badness(worst, matrix.metric) if worst is not None else 0.0,
        )

    return Verdict(matrix.metric, tuple(sorted(found, key=rank)))


def level_with_best(found: Verdict, matrix: Matrix, folder: Path) -> list[Standing]:
    """Settled defenses that the best one is not shown to beat, each under its own worst attack.

    By paired tests over the same examples at 5 %, corrected for their number; where examples cannot be paired,
    by overlapping intervals. Raises StoreError when a per-example table cannot be read.
    """
    best = found.best
    rivals = [s for s in found.standings if s.is_settled and s is not best]
    if best is None or best.by is None:
        return []
    mine = matrix[best.by, best.defense].done
    p: list[float | None] = []
    for rival in rivals:
        theirs = matrix[rival.by, rival.defense].done if rival.by is not None else ()
        pair = matched(folder, mine, folder, theirs, found.metric)
        told = isinstance(pair, Matched) and pair.paired
        p.append(
            paired_comparison(pair.first, pair.second, pair.first_clusters).p
            if isinstance(pair, Matched) and told
            else None
        )
    return [
        rival
        for rival, chance in zip(rivals, holm(p), strict=True)
        if (overlap(rival, best) if chance is None else chance > ALPHA)
    ]


def overlap(one: Standing, other: Standing) -> bool:
    """Whether the intervals under the worst attack have a value in common; without intervals they may."""
    if one.worst is None or other.worst is None:
        return True
    low, high = (one.worst.low, other.worst.low), (one.worst.high, other.worst.high)
    if None in low or None in high:
        return True
    return max(value for value in low if value is not None) <= min(v for v in high if v is not None)


def _standing(matrix: Matrix, defense: str, rows: Sequence[Row]) -> Standing:
    clean = next((matrix[row, defense].figure for row in matrix.rows if row.is_clean), None)
    trusted = [
        (row, figure)
        for row in rows
        if (figure := matrix[row, defense].figure) is not None
        and figure.value is not None
        and matrix[row, defense].verdict == "ok"
    ]
    by, worst = max(trusted, key=lambda item: _badness(item[1], matrix.metric), default=(None, None))
    return Standing(defense, clean, worst, by, tuple(_doubts(matrix, defense, rows)))


def _doubts(matrix: Matrix, defense: str, rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    for row in rows:
        if row.counter and not matrix[row, defense].cells:
            continue  # a counter-measure is tried only where a figure was flagged
        reason = _doubt(matrix[row, defense])
        if reason:
            yield row, REASONS[reason]


def _doubt(entry: Entry) -> str:
    if entry.status != "done":
        return entry.status
    if entry.verdict != "ok":
        return entry.verdict
    return "" if entry.figure is not None and entry.figure.value is not None else "empty"


def _badness(figure: Figure, metric: MetricRecord) -> float:
    value = figure.value if figure.value is not None else 0.0
    return value if metric.direction == "lower" else -value
