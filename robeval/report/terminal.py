"""The report in a terminal: a heat map per metric, then everything that is needed to judge it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from robeval.plugins.threat import ACCESS
from robeval.report.audit import audit_lines, audit_table
from robeval.report.curves import curves_of
from robeval.report.curves_terminal import curve_lines, gap_lines
from robeval.report.findings import COSTS, KINDS, Spent, findings, progress, spent
from robeval.report.gap import by_metric, gaps_of
from robeval.report.grid import drawn, usual_n
from robeval.report.heat import SHADES, STYLES, Heat
from robeval.report.layout import in_ascii, paragraph
from robeval.report.matrix import LARGEST_ONLY, UNASKED, Matrix, at_largest_budgets, matrices, scenarios
from robeval.report.numbers import unit_of
from robeval.report.shell import wrapped_command
from robeval.report.summary import chosen_metrics, read_run
from robeval.results.records import Summary

_NARROWEST, _WIDEST = 40, 160
_WIDEST_TABLE = 110
_SHORTEST_TITLE = 20
_KIND_STYLES = {"invalid": "bold red", "suspicious": "bold yellow", "failed": "bold red", "n/a": "dim"}


def print_terminal(
    folder: Path,
    console: Console,
    metrics: Sequence[str] | None = None,
    *,
    by_group: bool = False,
    by_budget: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Print the report of a run. Raises UsageError or StoreError when it cannot be read."""

    def laid_out(width: int) -> Iterator[Text]:
        return lines(folder, width, metrics, by_group=by_group, by_budget=by_budget, thresholds=thresholds)

    print_laid_out(laid_out, console)


def print_laid_out(laid_out: Callable[[int], Iterator[Text]], console: Console) -> None:
    """Print lines that are laid out for a width, coloured as far as `console` allows."""
    width = max(_NARROWEST, min(console.width, _WIDEST))
    for line in laid_out(width):
        if console.options.ascii_only:
            line = in_ascii(line)
        if console.no_color or console.color_system is None:
            line.rstrip()
        # The text is laid out already: rich must neither wrap, nor highlight, nor read it as markup.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def lines(
    folder: Path,
    width: int,
    metrics: Sequence[str] | None = None,
    *,
    by_group: bool = False,
    by_budget: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> Iterator[Text]:
    """The report line by line, laid out for `width` columns.

    Of an attack with more than two budgets, matrices show the largest one unless `by_budget`. `thresholds` are
    the values by metric from which a figure is too bad.
    """
    summary = read_run(folder)
    yield from _head(summary, width)
    tables = matrices(summary, folder, chosen_metrics(summary, metrics), by_group=by_group)
    per_scenario = scenarios(summary.cells)
    costs = {title: spent(cells) for title, cells in per_scenario.items()}
    scenario = ("", "")
    for matrix in tables:
        if scenario != (matrix.dataset, matrix.victim):
            scenario = (matrix.dataset, matrix.victim)
            yield Text()
            yield Text(f"{matrix.dataset} · victim {matrix.victim}", style="bold underline")
        yield from _matrix(matrix, costs[scenario], width, by_budget=by_budget)
        if not matrix.group:
            found = curves_of(matrix, folder, (thresholds or {}).get(matrix.metric.name))
            yield from curve_lines(found, Heat.of(matrix), width)
    yield from _marks(tables, width)
    yield from _defenses(tables, width)
    for same in by_metric(tables):
        yield from gap_lines(gaps_of(same, folder, by_budget=by_budget), width)
    for title, cells in per_scenario.items():
        told = spent(cells, merged=not by_budget)
        yield from _attacks(told, "" if len(per_scenario) == 1 else " · ".join(title), width)
    table = audit_table(folder, summary)
    if table is not None:
        yield Text()
        yield from audit_lines(table, width, objections=False)
    yield from _findings(summary, width)
    yield from _repeat(summary, width)


def _head(summary: Summary, width: int) -> Iterator[Text]:
    run, made = summary.run, summary.environment
    yield Text(f"robeval · {run.name}", style="bold")
    state = "" if run.complete else " · not finished"
    versions = [f"{name} {version}" for name, version in made.packages.items() if name in ("torch", "numpy")]
    about = [progress(summary), f"{run.seconds:.0f} s", f"robeval {made.robeval}", *versions, made.device]
    yield from paragraph(" · ".join(about) + state, width, style="dim")
    yield from paragraph(run.note, width, style="yellow")


def _matrix(everything: Matrix, costs: Sequence[Spent], width: int, *, by_budget: bool) -> Iterator[Text]:
    matrix = everything if by_budget else at_largest_budgets(everything)
    metric, heat = matrix.metric, Heat.of(everything)
    unit = f" [{unit_of(metric)}]" if unit_of(metric) else ""
    group = f" · group {matrix.group}" if matrix.group else ""
    yield Text()
    yield Text(f"{metric.name}{unit}{group}", style="bold")
    meaning = f"{metric.meaning}; " if metric.meaning else ""
    yield from paragraph(f"{meaning}{metric.direction} is better for the defender", width, style="dim")
    yield Text()
    shown = set(matrix.rows)
    passes = {cost.row: cost.passes for cost in costs if cost.row in shown and not cost.costs_nothing}
    for block in drawn(matrix, heat, passes, width):
        yield from block
        if block[-1].plain:
            yield Text()
    yield from _legend(heat, width)
    yield from paragraph(_sample(matrix), width, style="dim")
    if matrix.has_unasked:
        yield from paragraph(UNASKED, width, style="dim")
    if matrix is not everything:
        yield from paragraph(LARGEST_ONLY, width, style="dim")


def _legend(heat: Heat | None, width: int) -> Iterator[Text]:
    if heat is None:
        return
    line = Text.assemble(("good ", "dim"))
    for level, text in heat.legend():
        step = Text(f"{SHADES[level]} {text} ", style=STYLES[level])
        if len(line.plain) + len(step.plain) + 5 > width:
            yield line
            line = Text("     ")
        line.append_text(step)
        line.append(" ")
    line.append("bad", style="dim")
    yield line


def _sample(matrix: Matrix) -> str:
    n = usual_n(matrix)
    if n is None:
        return "no cell has a figure for this metric"
    seeds = len({cell.seed for entry in matrix.entries.values() for cell in entry.done})
    over = f", over {seeds} seeds" if seeds > 1 else ""
    others = " unless a cell says otherwise" if len(matrix.sizes()) > 1 else ""
    return f"value [95 % interval], or ± its farther end; n = {n}{over}{others}"


def _marks(tables: Sequence[Matrix], width: int) -> Iterator[Text]:
    verdicts = {entry.verdict for matrix in tables for entry in matrix.entries.values()}
    said = {"suspicious": "? suspicious", "invalid": "! invalid"}
    shown = [text for verdict, text in said.items() if verdict in verdicts]
    if shown:
        yield from paragraph(" · ".join(shown) + ": outside the scale, evidence below", width, style="dim")


def _defenses(tables: Sequence[Matrix], width: int) -> Iterator[Text]:
    """The options that the column heads left out."""
    names = {
        full: short for matrix in tables for full, short in matrix.column_names().items() if full != short
    }
    if names:
        yield from paragraph("Defenses in full: " + " · ".join(names), width, style="dim")


def _attacks(costs: Sequence[Spent], scenario: str, width: int) -> Iterator[Text]:
    """Threat models, and the cost per example beside them."""
    names = ("forward", "backward", "queries", "seconds", "overhead")
    table = [cost.figures() for cost in costs]
    sizes = [max(len(name), *(len(row[k]) for row in table)) for k, name in enumerate(names)]
    room = min(width, _WIDEST_TABLE) - sum(sizes) - 2 * len(sizes)
    yield Text()
    yield Text(f"Threat models and cost{' · ' + scenario if scenario else ''}", style="bold")
    yield from paragraph(COSTS, width, style="dim")
    in_columns = room >= _SHORTEST_TITLE
    if in_columns:
        yield Text(" " * room + _in_columns(names, sizes), style="dim")
    for cost, figures in zip(costs, table, strict=True):
        title = textwrap.wrap(f"{cost.row.name} {cost.grant}".strip(), room if in_columns else width)
        line = Text(title[0].ljust(room) if in_columns else title[0], style="bold")
        if in_columns and not cost.costs_nothing:
            line.append(_in_columns(figures, sizes), style="not bold")
        line.rstrip()
        yield line
        for rest in title[1:]:
            yield Text("  " + rest, style="bold")
        if not in_columns and not cost.costs_nothing:
            told = " · ".join(f"{name} {figure}" for name, figure in zip(names, figures, strict=True))
            yield from paragraph(told, width, indent=2)
        yield from paragraph(_grant(cost), width, indent=2)


def _in_columns(texts: Sequence[str], sizes: Sequence[int]) -> str:
    return "".join("  " + text.rjust(size) for text, size in zip(texts, sizes, strict=True))


def _grant(cost: Spent) -> str:
    known = cost.threat.partition(";")[0] in ACCESS
    parts = [f"access {cost.threat}" if known else cost.threat] if cost.threat else []
    return " · ".join(parts + cost.remarks())


def _findings(summary: Summary, width: int) -> Iterator[Text]:
    kind = None
    for finding in findings(summary):
        if finding.kind != kind:
            kind = finding.kind
            yield Text()
            yield from paragraph(KINDS[kind], width, style=_KIND_STYLES[kind])
        yield from paragraph(finding.where, width, indent=2)
        yield from paragraph(finding.message, width, indent=4, style="dim")


def _repeat(summary: Summary, width: int) -> Iterator[Text]:
    yield Text()
    yield Text("Repeat with" if summary.run.complete else "Finish with", style="bold")
    for line in wrapped_command(summary.run.command, width - 2):
        yield Text("  " + line)
