"""The report as Markdown, for job summaries and pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from robeval.report.findings import KINDS, Spent, findings, progress, spent
from robeval.report.heat import SHADES, Heat
from robeval.report.matrix import Entry, Matrix, Row, matrices, scenarios
from robeval.report.numbers import amount, bounds, number, unit_of
from robeval.report.summary import chosen_metrics, read_run
from robeval.results.records import Summary


def markdown(folder: Path, metrics: Sequence[str] | None = None, *, by_group: bool = False) -> str:
    """The whole report. Raises UsageError or StoreError when the run cannot be read."""
    summary = read_run(folder)
    tables = matrices(summary, folder, chosen_metrics(summary, metrics), by_group=by_group)
    return "\n".join(_lines(summary, tables)) + "\n"


def _lines(summary: Summary, tables: Sequence[Matrix]) -> Iterator[str]:
    run = summary.run
    yield f"# robeval · {_safe(run.name)}"
    yield ""
    state = "" if run.complete else " (not finished)"
    yield f"{progress(summary)}{state} · {run.seconds:.0f} s · robeval {run.environment.robeval}"
    for matrix in tables:
        yield from _matrix(matrix)
    for (dataset, victim), cells in scenarios(summary.cells).items():
        yield from _attacks(spent(cells), f"{dataset} · {victim}")
    yield from _findings(summary)
    yield from ["", f"## {'Repeat' if run.complete else 'Finish'}", "", "```sh", run.command, "```"]


def _matrix(matrix: Matrix) -> Iterator[str]:
    metric, heat = matrix.metric, Heat.of(matrix)
    unit = f" [{unit_of(metric)}]" if unit_of(metric) else ""
    group = f" · group {_safe(matrix.group)}" if matrix.group else ""
    yield from ["", f"## {_safe(matrix.dataset)} · {_safe(matrix.victim)} · {metric.name}{unit}{group}", ""]
    meaning = f"{_safe(metric.meaning)}; " if metric.meaning else ""
    yield f"{meaning}{metric.direction} is better for the defender. Value [95 % interval], n."
    yield ""
    yield "| attack | " + " | ".join(map(_safe, matrix.columns)) + " |"
    yield "| --- |" + " ---: |" * len(matrix.columns)
    for row in matrix.rows:
        yield (
            f"| {_name(row)} | "
            + " | ".join(_cell(matrix[row, c], matrix, heat) for c in matrix.columns)
            + " |"
        )
    if heat is not None:
        steps = " · ".join(f"{SHADES[level].strip() or 'no shade'} {text}" for level, text in heat.legend())
        yield from ["", f"Shades from good to bad: {steps}. `?` suspicious, `!` invalid, see below."]


def _name(row: Row) -> str:
    return f"**{_safe(row.name)}** {_safe(row.grant)}".strip()


def _cell(entry: Entry, matrix: Matrix, heat: Heat | None) -> str:
    if entry.status != "done":
        return f"*{entry.status}*"
    figure = entry.figure
    if figure is None or figure.value is None:
        return "–"
    shade = SHADES[heat.level(figure.value)].strip() if heat and entry.verdict == "ok" else ""
    value = " ".join(filter(None, [number(figure.value, matrix.metric), bounds(figure, matrix.metric)]))
    mark = f" **{entry.mark}**" if entry.mark else ""
    return f"{shade} {value}{mark} n={figure.n}".strip()


def _attacks(costs: Sequence[Spent], scenario: str) -> Iterator[str]:
    yield from ["", f"## Threat models and cost · {_safe(scenario)}", ""]
    yield "| attack | threat model | forward | backward | queries | seconds | invalid | notes |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for cost in costs:
        notes = ", ".join(f"{count} {_safe(name)}" for name, count in cost.notes.items())
        figures = [
            cost.forward,
            cost.backward,
            cost.queries,
            amount(round(cost.seconds, 1)),
            str(cost.invalid),
        ]
        yield f"| {_name(cost.row)} | {_safe(cost.threat)} | {' | '.join(figures)} | {notes} |"
    yield from ["", "Forward, backward and queries are rows per example; seconds are the sum over all cells."]


def _findings(summary: Summary) -> Iterator[str]:
    kind = None
    for finding in findings(summary):
        if finding.kind != kind:
            kind = finding.kind
            yield from ["", f"## {KINDS[kind]}", ""]
        yield f"- {_safe(finding.where)}: {_safe(finding.message)}"


def _safe(text: str) -> str:
    """Text that cannot break a table or become markup."""
    for sign in "\\|*_`<[":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
