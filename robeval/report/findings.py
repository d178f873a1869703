"""What a reader must know beside the figures: marks with evidence, failures, gaps, cost, threat models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from robeval.report.matrix import Row, ordered_rows, row_of
from robeval.report.numbers import span
from robeval.results.records import CellRecord, Summary

Kind = Literal["invalid", "suspicious", "failed", "n/a"]
KINDS: dict[Kind, str] = {
    "invalid": "! invalid: do not quote these figures",
    "suspicious": "? suspicious: these figures may flatter the defense",
    "failed": "failed: no figure",
    "n/a": "n/a: not possible",
}


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
    return [
        Finding(kind, places(cells, summary.cells), message)
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
    several = len({(cell.dataset, cell.victim) for cell in everywhere}) > 1
    groups: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        alike = [c for c in everywhere if _spot(c) == _spot(cell)]
        seeds = [c.seed for c in cells if _spot(c) == _spot(cell)]
        note = "" if len(seeds) == len(alike) else f" (seed {', '.join(map(str, seeds))})"
        scenario = f" on {cell.dataset}, {cell.victim}" if several else ""
        names = groups.setdefault((str(row_of(cell)), note + scenario), [])
        if cell.defense not in names:
            names.append(cell.defense)
    return "; ".join(f"{row} × {', '.join(names)}{note}" for (row, note), names in groups.items())


def _spot(cell: CellRecord) -> tuple[object, ...]:
    return cell.dataset, cell.victim, row_of(cell), cell.defense


@dataclass(frozen=True)
class Spent:
    """What an attack was granted and what it cost, over all its finished cells."""

    row: Row
    threat: str
    forward: str
    backward: str
    queries: str
    seconds: float
    invalid: int
    notes: dict[str, int]
    passes: str


def spent(cells: Sequence[CellRecord]) -> list[Spent]:
    """One entry per row of the matrix; costs are per example, a span where defenses differ."""
    found = []
    for row in ordered_rows(cells):
        here = [cell for cell in cells if row_of(cell) == row]
        done = [cell for cell in here if cell.status == "done"]
        notes: dict[str, int] = {}
        for cell in done:
            for note, count in cell.notes.items():
                notes[note] = notes.get(note, 0) + count
        threats = list(dict.fromkeys(cell.threat for cell in done or here if cell.threat))
        found.append(
            Spent(
                row=row,
                threat="; or ".join(threats),
                forward=span([cell.cost.forward for cell in done]),
                backward=span([cell.cost.backward for cell in done]),
                queries=span([cell.cost.queries for cell in done]),
                seconds=sum((cell.cost.seconds for cell in done), 0.0),
                invalid=sum(cell.invalid for cell in done),
                notes=notes,
                passes=span([cell.cost.forward + cell.cost.backward for cell in done]),
            )
        )
    return found


def progress(summary: Summary) -> str:
    """How much of the plan is there: ``60 of 71 cells done, 3 failed, 10 n/a, 1 missing``."""
    count = {
        status: sum(cell.status == status for cell in summary.cells) for status in ("done", "failed", "n/a")
    }
    count["missing"] = len(summary.run.cells) - sum(count.values())
    rest = [f"{number} {status}" for status, number in count.items() if number and status != "done"]
    return ", ".join([f"{count['done']} of {len(summary.run.cells)} cells done", *rest])
