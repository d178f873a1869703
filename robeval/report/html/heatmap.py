"""A matrix as the page shows it: every text and colour decided here, so that templates only place them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robeval.report.findings import Spent
from robeval.report.grid import usual_n
from robeval.report.heat import Heat
from robeval.report.matrix import Entry, Matrix, Row
from robeval.report.numbers import bounds, measured, number, span, unit_of

EMPTY = "–"


@dataclass(frozen=True)
class Spot:
    """One place of the table."""

    key: str
    text: str
    interval: str
    n: int
    level: int | None
    share: float
    """Where the value lies between the best (0) and the worst (1)."""
    verdict: str
    mark: str
    status: str
    sort: float | None
    """Larger is worse for the defender; None sorts last."""


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    name: str
    full: str
    grant: str
    kind: str
    knowledge: str
    spots: tuple[Spot, ...]
    passes: str


@dataclass(frozen=True)
class Table:
    """A whole heat map of one metric."""

    key: str
    scenario: str
    label: str
    meaning: str
    direction: str
    columns: tuple[tuple[str, str], ...]
    """Short and full names."""
    lines: tuple[Line, ...]
    legend: tuple[tuple[int, str], ...]
    n: int | None
    seeds: int


def table(matrix: Matrix, costs: Sequence[Spent], number_: int) -> Table:
    """The view of a matrix; `number_` tells apart the tables of a page."""
    heat = Heat.of(matrix)
    unit = f" [{unit_of(matrix.metric)}]" if unit_of(matrix.metric) else ""
    group = f" · group {matrix.group}" if matrix.group else ""
    names, heads = matrix.row_names(), matrix.column_names()
    passes = {cost.row: cost.passes for cost in costs if not (cost.row.is_clean or cost.row.certified)}
    lines = tuple(
        Line(
            name=names[row],
            full=row.name,
            grant=row.grant,
            kind="clean" if row.is_clean else "certified" if row.certified else "attack",
            knowledge=row.knowledge,
            spots=tuple(
                _spot(matrix, row, column, heat, place_key(matrix, row, column)) for column in matrix.columns
            ),
            passes=passes.get(row, ""),
        )
        for row in matrix.rows
    )
    return Table(
        key=f"table-{number_}",
        scenario=f"{matrix.dataset} · {matrix.victim}",
        label=f"{matrix.metric.name}{unit}{group}",
        meaning=matrix.metric.meaning,
        direction=matrix.metric.direction,
        columns=tuple((heads[column], column) for column in matrix.columns),
        lines=lines,
        legend=tuple(heat.legend()) if heat else (),
        n=usual_n(matrix),
        seeds=len({cell.seed for entry in matrix.entries.values() for cell in entry.done}),
    )


def place_key(matrix: Matrix, row: Row, column: str) -> str:
    """What a place is called in all tables of its scenario: the id of its first cell."""
    cells = matrix[row, column].cells
    return cells[0].id if cells else ""


def details(matrix: Matrix) -> dict[str, dict[str, Any]]:
    """What the page says of a place beside its figure, by key; the same for every metric of a scenario."""
    found = {}
    for row in matrix.rows:
        for column in matrix.columns:
            key = place_key(matrix, row, column)
            if key:
                found[key] = _detail(matrix[row, column], row, column)
    return found


def _detail(entry: Entry, row: Row, column: str) -> dict[str, Any]:
    done = entry.done
    evidence = {
        (said.severity, said.check, said.message): None
        for cell in entry.cells
        for said in cell.evidence
        if said.severity != "ok"
    }
    notes = {name: 0 for cell in done for name in cell.notes}
    for cell in done:
        for name, count in cell.notes.items():
            notes[name] += count
    return {
        "attack": str(row),
        "defense": column,
        "verdict": entry.verdict,
        "status": entry.status,
        "error": next((cell.error for cell in entry.cells if cell.error), None) or "",
        "evidence": [f"{severity} · {check}: {message}" for severity, check, message in evidence],
        "threat": next((cell.threat for cell in entry.cells if cell.threat), ""),
        "passes": "" if row.is_clean else span([cell.cost.forward + cell.cost.backward for cell in done]),
        "invalid": sum(cell.invalid for cell in done),
        "notes": [
            *(f"{count} {name.replace('_', ' ')}" for name, count in notes.items()),
            *(f"{name} {measured(figure)}" for cell in done for name, figure in cell.measures.items()),
        ],
        "seeds": len(done),
    }


def _spot(matrix: Matrix, row: Row, column: str, heat: Heat | None, key: str) -> Spot:
    entry, metric = matrix[row, column], matrix.metric
    figure = entry.figure
    if entry.status != "done" or figure is None or figure.value is None:
        text = EMPTY if entry.status == "done" else entry.status
        return Spot(key, text, "", 0, None, 0.0, entry.verdict, entry.mark, entry.status, None)
    trusted = heat is not None and entry.verdict == "ok"
    return Spot(
        key=key,
        text=number(figure.value, metric),
        interval=bounds(figure, metric),
        n=figure.n,
        level=heat.level(figure.value) if heat is not None and trusted else None,
        share=_share(figure.value, heat) if heat is not None and trusted else 0.0,
        verdict=entry.verdict,
        mark=entry.mark,
        status=entry.status,
        sort=_finite(figure.value if metric.direction == "lower" else -figure.value),
    )


def _share(value: float, heat: Heat) -> float:
    share = (value - heat.best) / (heat.worst - heat.best)
    return min(max(share, 0.0), 1.0)


def _finite(value: float) -> float:
    """A number that JavaScript reads, in the same order."""
    return min(max(value, -1e300), 1e300)
