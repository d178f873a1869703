"""What a comparison of two runs says; every face is made from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from robeval.report.compare_setting import Difference
from robeval.report.matrix import Entry, Row, row_of
from robeval.results.records import CellRecord, MetricRecord, Summary
from robeval.statistics.comparisons import Comparison

Outcome = Literal["worse", "lost", "doubtful", "better", "found", "untested", "same", "identical"]
OUTCOMES: dict[Outcome, str] = {
    "worse": "significantly worse for the defender",
    "lost": "had a figure, has none that can be quoted now",
    "doubtful": "marked as suspicious now: do not celebrate",
    "better": "significantly better for the defender",
    "found": "has a figure now, had none that could be quoted",
    "untested": "could not be compared",
    "same": "no difference shown",
    "identical": "the same in every example",
}
"""Sorted by what matters."""


@dataclass(frozen=True)
class Place:
    """What makes two cells of different runs the same cell. Seeds are pooled, as in the matrix."""

    dataset: str
    victim: str
    row: Row
    defense: str

    @classmethod
    def of(cls, cell: CellRecord) -> Place:
        """The place of a cell."""
        return cls(cell.dataset, cell.victim, row_of(cell), cell.defense)

    @property
    def name(self) -> str:
        """Attack, grant and defense; the scenario is said where there are several."""
        return f"{self.row} × {self.defense}"


@dataclass(frozen=True)
class Change:
    """One place and metric in both runs. Differences are after minus before."""

    place: Place
    metric: MetricRecord
    before: Entry
    after: Entry
    comparison: Comparison | None
    p: float | None
    """Holm's, over all comparisons of the two runs."""
    outcome: Outcome
    detectable: float | None
    """The smallest true difference that would have been found 80 times in 100, corrected for the family."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunComparison:
    """Everything that can be said of two runs, the changes that matter most first."""

    before: Summary
    after: Summary
    names: tuple[str, str]
    metrics: tuple[MetricRecord, ...]
    alpha: float
    family: int
    changes: tuple[Change, ...]
    only_before: tuple[Place, ...]
    only_after: tuple[Place, ...]
    differences: tuple[Difference, ...]
    same_content: tuple[int, int] | None
    """Of how many shared cells (second) the content address is the same (first); None: not recorded."""
    caveats: tuple[str, ...]

    def counts(self) -> dict[Outcome, int]:
        """How many changes of each kind, those that occur."""
        found = Counter(change.outcome for change in self.changes)
        return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}

    @property
    def common_notes(self) -> tuple[str, ...]:
        """Notes that all compared changes share: worth saying once."""
        noted = [change.notes for change in self.changes if change.comparison is not None]
        shared = [note for note in noted[0] if all(note in notes for notes in noted)] if noted else []
        return tuple(shared)

    @property
    def several_scenarios(self) -> bool:
        """Whether a place needs its scenario to be told apart."""
        places = [*(change.place for change in self.changes), *self.only_before, *self.only_after]
        return len({(place.dataset, place.victim) for place in places}) > 1
