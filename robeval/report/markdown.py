"""The report as Markdown, for job summaries and pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from robeval.report import curves_text as said
from robeval.report.curves import Curve, curves_of
from robeval.report.findings import COSTS, KINDS, Spent, findings, progress, spent
from robeval.report.gap import Gap, by_metric, gaps_of
from robeval.report.heat import SHADES, Heat
from robeval.report.matrix import (
    LARGEST_ONLY,
    MARKS,
    UNASKED,
    Entry,
    Matrix,
    Row,
    at_largest_budgets,
    matrices,
    scenarios,
)
from robeval.report.numbers import bounds, number, unit_of
from robeval.report.summary import chosen_metrics, read_run
from robeval.results.records import MetricRecord, Summary


def markdown(
    folder: Path,
    metrics: Sequence[str] | None = None,
    *,
    by_group: bool = False,
    by_budget: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> str:
    """The whole report; the options are the terminal's.

    Raises UsageError or StoreError when the run cannot be read.
    """
    summary = read_run(folder)
    run = summary.run
    tables = matrices(summary, folder, chosen_metrics(summary, metrics), by_group=by_group)
    state = "" if run.complete else " (not finished)"
    about = f"{progress(summary)}{state} · {run.seconds:.0f} s · robeval {run.environment.robeval}"
    lines = [f"# robeval · {_safe(run.name)}", "", about, *(["", _safe(run.note)] if run.note else [])]
    for matrix in tables:
        lines += _matrix(matrix, by_budget=by_budget)
        if not matrix.group:
            lines += _curves(curves_of(matrix, folder, (thresholds or {}).get(matrix.metric.name)))
    for same in by_metric(tables):
        lines += _gaps(gaps_of(same, folder, by_budget=by_budget))
    for (dataset, victim), cells in scenarios(summary.cells).items():
        lines += _attacks(spent(cells, merged=not by_budget), f"{dataset} · {victim}")
    lines += _findings(summary)
    lines += ["", f"## {'Repeat' if run.complete else 'Finish'}", "", "```sh", run.command, "```"]
    return "\n".join(lines) + "\n"


def _matrix(everything: Matrix, *, by_budget: bool) -> Iterator[str]:
    matrix = everything if by_budget else at_largest_budgets(everything)
    metric, heat = matrix.metric, Heat.of(everything)
    group = f" · group {_safe(matrix.group)}" if matrix.group else ""
    yield from [
        "",
        f"## {_safe(matrix.dataset)} · {_safe(matrix.victim)} · {metric.name}{_unit(metric)}{group}",
        "",
    ]
    meaning = f"{_safe(metric.meaning)}; " if metric.meaning else ""
    yield f"{meaning}{metric.direction} is better for the defender. Value [95 % interval], n."
    yield ""
    yield "| attack | " + " | ".join(map(_safe, matrix.columns)) + " |"
    yield "| --- |" + " ---: |" * len(matrix.columns)
    for row in matrix.rows:
        yield (
            f"| {_name(row)} | "
            + " | ".join(
                _cell(matrix[row, c], matrix, heat) if matrix.was_asked((row, c)) else "·"
                for c in matrix.columns
            )
            + " |"
        )
    if heat is not None:
        steps = " · ".join(f"{SHADES[level].strip() or 'no shade'} {text}" for level, text in heat.legend())
        yield from ["", f"Shades from good to bad: {steps}. `?` suspicious, `!` invalid, see below."]
    if matrix.has_unasked:
        yield from ["", f"{UNASKED}."]
    if matrix is not everything:
        yield from ["", f"{LARGEST_ONLY}."]


def _curves(curves: Sequence[Curve]) -> Iterator[str]:
    grouped = said.attacks_with_curves(curves)
    if not grouped:
        return
    metric = curves[0].metric
    shown = [curve for same in grouped.values() for curve in same]
    yield from ["", f"### Security curves · {metric.name}{_unit(metric)}", ""]
    budgets = list(dict.fromkeys(said.budget(b) for b in sorted({p.budget for c in shown for p in c.points})))
    yield f"| attack × defense | {' | '.join(budgets)} | area [95 %] | {said.reaches(shown)} |"
    yield "| --- |" + " ---: |" * (len(budgets) + 2)
    for name, same in grouped.items():
        for curve in same:
            values = {
                said.budget(point.budget): f"{number(point.value, metric)} {MARKS[point.verdict]}".strip()
                for point in curve.points
            }
            row = [values.get(budget, "") for budget in budgets] + [said.area(curve), said.crossing(curve)]
            yield f"| **{_safe(name)}** × {_safe(curve.defense)} | {' | '.join(row)} |"
    units = dict.fromkeys(f"{curve.budget_name} [{curve.unit}]".removesuffix(" []") for curve in shown)
    yield ""
    yield f"Columns: budget, {_safe(', '.join(units))}. {said.about_area(shown)}; {said.about_threshold(shown)}."


def _gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    if not gaps:
        return
    metric = gaps[0].matrix.metric
    yield from ["", f"## Knowledge gap · {metric.name}{_unit(metric)}", "", f"{said.about_gaps(gaps)}.", ""]
    yield "| attack × defense | oblivious | adaptive | difference [95 %] | p | what it means |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for gap, place in zip(gaps, said.gap_places(gaps), strict=True):
        first, second = (number(v, metric) for v in (gap.comparison.first, gap.comparison.second))
        row = [first, second, said.difference(gap), said.chance(gap.p), _safe(said.meaning(gap))]
        yield f"| {_safe(place)} | {' | '.join(row)} |"


def _unit(metric: MetricRecord) -> str:
    return f" [{unit_of(metric)}]" if unit_of(metric) else ""


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
    yield "| attack | threat model | forward | backward | queries | seconds | overhead | remarks |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for cost in costs:
        name = f"**{_safe(cost.row.name)}** {_safe(cost.grant)}".strip()
        remarks = _safe("; ".join(cost.remarks()))
        yield f"| {name} | {_safe(cost.threat)} | {' | '.join(cost.figures())} | {remarks} |"
    yield from ["", f"{COSTS.capitalize()}."]


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
