"""What a reader must know beside the figures: marks with evidence, failures, gaps, cost, threat models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from robeval.report.matrix import Row, families, ordered_rows, row_of, short_names
from robeval.report.numbers import amount, measured, span
from robeval.results.records import CellRecord, Summary

Kind = Literal["invalid", "suspicious", "failed", "n/a"]
KINDS: dict[Kind, str] = {
    "invalid": "! invalid: do not quote these figures",
    "suspicious": "? suspicious: these figures may flatter the defense",
    "failed": "failed: no figure",
    "n/a": "n/a: not possible",
}

COSTS = (
    "rows through the victim and queries per example; seconds in all; overhead: the attack's seconds over those of "
    "its passes alone"
)
_LISTED = 4
"""More budgets than these are told by the first and the last."""


@dataclass(frozen=True)
class Finding:
    """One message and all the places that it concerns."""

    kind: Kind
    where: str
    message: str


def findings(summary: Summary) -> list[Finding]:
    """Everything to be said about single cells, most serious first; equal messages are said once."""
    found: dict[tuple[Kind, str], list[CellRecord]] = {}
    for cell in summary.cells:
        for kind, message in _said(cell):
            found.setdefault((kind, message), []).append(cell)
    order = list(KINDS)
    seeds = _seeds(summary.cells)
    return [
        Finding(kind, _places(cells, seeds), message)
        for (kind, message), cells in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    ]


def _said(cell: CellRecord) -> Iterable[tuple[Kind, str]]:
    if cell.status in ("failed", "n/a"):
        # The place names the defense: without its name, equal reasons fall together.
        reason = (cell.error or "no reason was recorded").replace(f"'{cell.defense}'", "this defense")
        yield ("failed" if cell.status == "failed" else "n/a"), reason
        return
    for evidence in cell.evidence:
        if evidence.severity != "ok":
            yield evidence.severity, f"{evidence.check}: {evidence.message}"
    if cell.verdict != "ok" and not any(evidence.severity == cell.verdict for evidence in cell.evidence):
        yield cell.verdict, "no evidence was recorded"


def places(cells: Sequence[CellRecord], everywhere: Sequence[CellRecord]) -> str:
    """``search ≤ 1 m × smoothing, augmentation (seed 1)``; seeds and scenarios only where they tell apart."""
    return _places(cells, _seeds(everywhere))


_Spot = tuple[str, str, Row, str]


def _seeds(cells: Iterable[CellRecord]) -> dict[_Spot, list[int]]:
    """The seeds at every spot of the run."""
    found: dict[_Spot, list[int]] = {}
    for cell in cells:
        found.setdefault(_spot(cell), []).append(cell.seed)
    return found


def _places(cells: Sequence[CellRecord], everywhere: dict[_Spot, list[int]]) -> str:
    several = len({spot[:2] for spot in everywhere}) > 1
    groups: dict[tuple[str, str], list[str]] = {}
    for (dataset, victim, row, defense), seeds in _seeds(cells).items():
        alike = everywhere[dataset, victim, row, defense]
        note = "" if len(seeds) == len(alike) else f" (seed {', '.join(map(str, seeds))})"
        scenario = f" on {dataset}, {victim}" if several else ""
        names = groups.setdefault((str(row), note + scenario), [])
        if defense not in names:
            names.append(defense)
    return "; ".join(f"{row} × {', '.join(names)}{note}" for (row, note), names in groups.items())


def _spot(cell: CellRecord) -> _Spot:
    return cell.dataset, cell.victim, row_of(cell), cell.defense


@dataclass(frozen=True)
class Spent:
    """What an attack was granted and what it cost, over all its finished cells.

    Texts are per example (a span where cells differ), numbers are sums over the cells.
    """

    row: Row
    """Of several budgets that are told together, the largest one's."""
    budgets: tuple[float, ...]
    threat: str
    forward: str
    backward: str
    queries: str
    seconds: float
    overhead: str
    """Attack seconds over the seconds of its passes alone."""
    prepared_queries: float
    prepared_seconds: float
    examples: int
    invalid: int
    notes: dict[str, int]
    measures: dict[str, str]
    """What the attack measured of itself: one cell's figure with its interval, or the span of several cells."""
    passes: str
    winners: dict[str, int]
    """Of a worst-of row: on how many examples each attack was the worst, most first."""

    @property
    def costs_nothing(self) -> bool:
        """Whether there is no attack to cost anything."""
        return self.row.is_clean or self.row.certified

    @property
    def grant(self) -> str:
        """The row's, with all its budgets."""
        if len(self.budgets) == 1:
            return self.row.grant
        first, last = f"{self.budgets[0]:.3g}", f"{self.budgets[-1]:.3g}"
        listed = ", ".join(f"{budget:.3g}" for budget in self.budgets)
        several = listed if len(self.budgets) <= _LISTED else f"{first} … {last}"
        unit = f" {self.row.budget.unit}" if self.row.budget.unit else ""
        return ", ".join([f"≤ {several}{unit}", *self.row.peculiar])

    def figures(self) -> tuple[str, str, str, str, str]:
        """Forward, backward and queries per example, seconds in all, overhead."""
        return self.forward, self.backward, self.queries, amount(round(self.seconds, 1)), self.overhead

    def remarks(self) -> list[str]:
        """What else there is to say: who was the worst, the preparation, invalid examples, the attack's notes."""
        found = []
        if self.winners:
            shares = ", ".join(f"{name} on {count}" for name, count in self.winners.items())
            found.append(f"worst: {shares} of {sum(self.winners.values())} examples")
        if self.prepared_queries or self.prepared_seconds:
            took = f"{amount(round(self.prepared_seconds, 1))} s"
            found.append(f"prepared with {amount(self.prepared_queries)} queries in {took}, in all")
        counts = {"invalid, scored as failed attacks": self.invalid} if self.invalid else {}
        counts |= {name.replace("_", " "): count for name, count in self.notes.items()}
        found += [f"{name} {figure}" for name, figure in self.measures.items()]
        return found + [f"{count} of {self.examples} examples {name}" for name, count in counts.items()]


def spent(cells: Sequence[CellRecord], *, merged: bool = False) -> list[Spent]:
    """One entry per row of the matrix; `merged`: one for all budgets of an attack that has more than two."""
    by_row: dict[Row, list[CellRecord]] = {row: [] for row in ordered_rows(cells)}
    for cell in cells:
        by_row[row_of(cell)].append(cell)
    together = {
        row: tuple(same) for same in families(by_row).values() if merged and len(same) > 2 for row in same
    }
    groups = dict.fromkeys(together.get(row, (row,)) for row in by_row)
    return [_spent(rows, [cell for row in rows for cell in by_row[row]]) for rows in groups]


def _spent(rows: Sequence[Row], cells: Sequence[CellRecord]) -> Spent:
    row = rows[-1]
    done = [cell for cell in cells if cell.status == "done"]
    largest = [cell for cell in cells if row.certified or cell.budget == row.budget]
    told = [cell for cell in largest if cell.status == "done"] or largest
    threats = dict.fromkeys(cell.threat for cell in told if cell.threat)
    winners = _counted(cell.winners for cell in done)
    called = short_names(winners)
    return Spent(
        row=row,
        budgets=tuple(row.budget.value for row in rows),
        threat="; or ".join(threats),
        forward=span([cell.cost.forward for cell in done]),
        backward=span([cell.cost.backward for cell in done]),
        queries=span([cell.cost.queries for cell in done]),
        seconds=sum((cell.cost.seconds for cell in done), 0.0),
        overhead=span([cell.cost.overhead for cell in done if cell.cost.overhead is not None]),
        prepared_queries=sum((cell.cost.prepared_queries for cell in done), 0.0),
        prepared_seconds=sum((cell.cost.prepared_seconds for cell in done), 0.0),
        examples=sum(cell.n for cell in done),
        invalid=sum(cell.invalid for cell in done),
        notes=_counted(cell.notes for cell in done),
        measures=_measures(done),
        passes=span([cell.cost.forward + cell.cost.backward for cell in done]),
        winners={called[name]: winners[name] for name in sorted(winners, key=lambda name: -winners[name])},
    )


def _measures(cells: Sequence[CellRecord]) -> dict[str, str]:
    found = {}
    for name in dict.fromkeys(name for cell in cells for name in cell.measures):
        told = [cell.measures[name] for cell in cells if name in cell.measures]
        values = sorted({f"{figure.value:.2f}" for figure in told if figure.value is not None}, key=float)
        if len(told) == 1:
            found[name] = measured(told[0])
        elif values:
            found[name] = values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"
    return found


def _counted(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def progress(summary: Summary) -> str:
    """How much of the plan is there: ``60 of 71 cells done, 3 failed, 10 n/a, 1 missing``."""
    count = {
        status: sum(cell.status == status for cell in summary.cells) for status in ("done", "failed", "n/a")
    }
    count["missing"] = len(summary.run.cells) - sum(count.values())
    rest = [f"{number} {status}" for status, number in count.items() if number and status != "done"]
    return ", ".join([f"{count['done']} of {len(summary.run.cells)} cells done", *rest])
