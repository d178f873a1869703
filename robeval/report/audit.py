"""An audit as a table of cells and checks, and what it objects to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from robeval.report.findings import places
from robeval.report.matrix import row_of
from robeval.report.summary import read_run
from robeval.results.audit import AuditEntry, AuditRecord, read_audit
from robeval.results.records import CellRecord, Figure, MetricRecord, Summary

MARKS = {"pass": ("+", "green"), "flag": ("?", "bold yellow"), "n/a": ("·", "dim")}


@dataclass(frozen=True)
class Flag:
    """One objection, and all the cells that it holds for."""

    check: str
    where: str
    evidence: str
    advice: str
    severity: str


@dataclass(frozen=True)
class Again:
    """A flagged cell, scored again with its counter-measures."""

    where: str
    before: Figure | None
    after: Figure | None
    by: str
    """The counter-measures, with the number of examples on which each was the worst."""


@dataclass(frozen=True)
class AuditTable:
    """The audit of a run, ready to be shown."""

    checks: tuple[tuple[str, str], ...]
    """Name and question."""
    rows: tuple[tuple[str, str, dict[str, AuditEntry]], ...]
    """Attack, defense, answers by check."""
    flags: tuple[Flag, ...]
    again: tuple[Again, ...]
    metric: MetricRecord | None
    examples: int
    seconds: float

    def count(self, outcome: str) -> int:
        """How many answers were `pass`, `flag` or `n/a`."""
        return sum(entry.outcome == outcome for _, _, answers in self.rows for entry in answers.values())


def audit_table(folder: Path, summary: Summary | None = None) -> AuditTable | None:
    """The audit beside a run, or None without one. Raises MissingFile or StoreError as `read_run` does."""
    audit = read_audit(folder)
    if audit is None:
        return None
    summary = summary or read_run(folder)
    cells = {cell.id: cell for cell in summary.cells}
    several = len({(cell.dataset, cell.victim, cell.seed) for cell in summary.cells}) > 1
    answers: dict[str, dict[str, AuditEntry]] = {}
    for entry in audit.entries:
        if entry.cell in cells:
            answers.setdefault(entry.cell, {})[entry.check] = entry
    rows = []
    for name, found in answers.items():
        cell = cells[name]
        scenario = f" ({cell.dataset}, {cell.victim}, seed {cell.seed})" if several else ""
        rows.append((str(row_of(cell)), cell.defense + scenario, found))
    return AuditTable(
        checks=tuple((check.name, check.question) for check in audit.checks),
        rows=tuple(rows),
        flags=tuple(_flags(audit, cells)),
        again=tuple(_again(audit, cells)),
        metric=summary.run.metrics[0] if summary.run.metrics else None,
        examples=audit.examples,
        seconds=audit.seconds,
    )


def _flags(audit: AuditRecord, cells: dict[str, CellRecord]) -> Iterator[Flag]:
    for entry in audit.entries:
        if entry.outcome == "flag" and entry.cell in cells:
            where = places([cells[entry.cell]], list(cells.values()))
            yield Flag(entry.check, where, entry.evidence, entry.advice, entry.severity)


def _again(audit: AuditRecord, cells: dict[str, CellRecord]) -> Iterator[Again]:
    for rescored in audit.rescored:
        cell, worst = cells.get(rescored.cell), cells.get(rescored.worst)
        if cell is None or worst is None:
            continue
        headline = next(iter(cell.metrics), "")
        counters = [cells[name] for name in rescored.counters if name in cells]
        names = ", ".join(str(row_of(counter)) for counter in counters)
        yield Again(
            places([cell], list(cells.values())),
            cell.metrics.get(headline),
            worst.metrics.get(headline),
            names,
        )


def audit_lines(table: AuditTable, width: int, *, objections: bool = True) -> Iterator[Text]:
    """The audit for a terminal of `width` columns; `objections` may be left out where evidence is listed anyway."""
    yield Text("Audit", style="bold")
    asked = sum(len(answers) for _, _, answers in table.rows)
    about = (
        f"{asked} answers from {len(table.checks)} checks of {len(table.rows)} attacked cells, further cells on "
        f"{table.examples} examples, {table.seconds:.0f} s: {table.count('pass')} pass, {table.count('flag')} flagged, "
        f"{table.count('n/a')} do not apply"
    )
    yield from _paragraph(about, width, style="dim")
    yield Text()
    yield from _grid(table, width)
    if objections:
        yield from _objections(table, width)
    yield from _scored_again(table, width)


def _grid(table: AuditTable, width: int) -> Iterator[Text]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    labels = [f"{attack} × {defense}" for attack, defense, _ in table.rows]
    room = min(max(map(len, labels), default=0), width - 2 * len(table.checks) - 1)
    yield Text(" " * room + " " + " ".join(letters[k] for k in range(len(table.checks))), style="bold")
    for label, (_, _, answers) in zip(labels, table.rows, strict=True):
        line = Text(label if len(label) <= room else label[: room - 1] + "…")
        line.append(" " * (room - len(line.plain)))
        for name, _ in table.checks:
            mark, style = MARKS[answers[name].outcome] if name in answers else (" ", "")
            line.append(" ")
            line.append(mark, style=style)
        yield line
    yield Text()
    for k, (name, question) in enumerate(table.checks):
        yield Text.assemble((f"{letters[k]} ", "bold"), (name.ljust(17), ""), (f" {question}", "dim"))
    yield Text("+ pass   ? flagged   · does not apply", style="dim")


def _objections(table: AuditTable, width: int) -> Iterator[Text]:
    if table.flags:
        yield Text()
        yield Text("What it objects to", style="bold yellow")
    for flag in table.flags:
        yield from _paragraph(f"{flag.where}: {flag.check}", width, indent=2)
        yield from _paragraph(flag.evidence, width, indent=4, style="dim")
        if flag.advice:
            yield from _paragraph(f"→ {flag.advice}", width, indent=4)


def _scored_again(table: AuditTable, width: int) -> Iterator[Text]:
    if not table.again:
        return
    yield Text()
    name = table.metric.name if table.metric else "headline"
    yield Text(f"Scored again with counter-measures ({name})", style="bold")
    for again in table.again:
        before, after = (_shown(figure) for figure in (again.before, again.after))
        yield from _paragraph(f"{again.where}: {before} → {after}  with {again.by}", width, indent=2)


def _shown(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "unknown"
    interval = "" if figure.low is None or figure.high is None else f" [{figure.low:.3g}, {figure.high:.3g}]"
    return f"{figure.value:.3g}{interval} {figure.unit}".rstrip()


def _paragraph(text: str, width: int, *, indent: int = 0, style: str = "") -> Iterator[Text]:
    for line in textwrap.wrap(text, width - indent, break_on_hyphens=False):
        yield Text(" " * indent + line, style=style)
