"""What a check comes to: one finding per cell and metric, what changed around them, one exit code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robeval.results.baseline import BaselineCell, BaselineMetric
from robeval.statistics.intervals import Interval

State = Literal[
    "regressed", "failed", "missing", "invalid", "suspicious", "changed", "uncertain", "improved", "held"
]
NOT_JUDGED: tuple[State, ...] = ("failed", "missing", "invalid", "suspicious", "changed")
MEANING: dict[State, str] = {
    "regressed": "worse by more than the tolerance, and significantly",
    "failed": "the cell raised an error",
    "missing": "the cell was not run",
    "invalid": "the figure means nothing",
    "suspicious": "the figure may be better than the truth, and was not when it was recorded",
    "changed": "data, scoring or attack is not what was recorded, so the figures do not compare",
    "uncertain": "worse by more than the tolerance, which may be chance",
    "improved": "better by more than the tolerance, and significantly",
    "held": "not worse by more than the tolerance",
}


@dataclass(frozen=True)
class Power:
    """What the sample of a cell can show. Sizes in the metric's unit; None where it cannot be said."""

    smallest: float | None
    """The smallest drop that would have failed the check with 80 % probability; inf: none ever would."""
    small_drop: float
    """Two points of a proportion, two per cent of any other recorded figure."""
    needed: int | None
    """Examples with which a drop of that size would be significant with 80 % probability."""
    examples: int
    """Examples that there were."""


@dataclass(frozen=True)
class Finding:
    """One cell, one metric."""

    cell: BaselineCell
    metric: BaselineMetric
    state: State
    reason: str = ""
    recorded: float | None = None
    now: float | None = None
    worse: Interval | None = None
    """By how much it got worse, whichever direction is better."""
    p: float | None = None
    """Corrected for all cells and metrics of the check; one-sided."""
    allowance: float | None = None
    n: int = 0
    power: Power | None = None

    @property
    def is_judged(self) -> bool:
        """Whether the figure could be held against the recorded one."""
        return self.state not in NOT_JUDGED


@dataclass(frozen=True)
class Change:
    """Something that is not what it was when the baseline was recorded."""

    what: str
    before: str
    after: str
    blocks: bool
    """Whether figures made with it do not compare: data, scoring or attack."""

    def __str__(self) -> str:
        if self.what.startswith("package "):
            return f"{self.what.removeprefix('package ')} {self.before} is now {self.after}"
        return f"the {self.what} is not what it was when the baseline was recorded"


@dataclass(frozen=True)
class Verdict:
    """The whole check."""

    baseline: Path
    folder: Path
    experiment: Path | None
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    new: tuple[str, ...]
    """Cells that the baseline does not know."""
    alpha: float
    seconds: float
    command: str
    allow_changed: bool = False

    @property
    def exit_code(self) -> int:
        """1 as soon as one cell regressed, whatever else went wrong; 3 if any could not be judged; else 0."""
        if self.of("regressed"):
            return 1
        return 3 if any(not finding.is_judged for finding in self.findings) else 0

    def of(self, *states: State) -> tuple[Finding, ...]:
        """The findings of these states."""
        return tuple(finding for finding in self.findings if finding.state in states)

    @property
    def counts(self) -> dict[State, int]:
        """How many findings of each state, the gravest first."""
        found = Counter(finding.state for finding in self.findings)
        return {state: found[state] for state in MEANING if found[state]}
