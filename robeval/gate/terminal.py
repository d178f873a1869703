"""A verdict on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robeval.gate.verdict import Finding, State, Verdict
from robeval.gate.words import HEADINGS, headline, notes, power_lines, row, sentence

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS: dict[State, str] = {
    "regressed": "bold red",
    "uncertain": "yellow",
    "improved": "green",
    "held": "",
}
_NAME_WIDTH = 24
"""Below this a column of names is a column of letters."""


def print_verdict(verdict: Verdict, console: Console) -> None:
    """All cells, the sentences about those that moved, and the outcome last."""
    from rich.text import Text

    rows = [row(finding) for finding in verdict.findings]
    if _width(rows) <= console.width:
        _print_table(verdict, rows, console)
    else:
        _print_list(verdict, rows, console)
    for finding in verdict.findings:
        if finding.state != "held":
            console.print(Text(sentence(finding), style=_colour(finding)), soft_wrap=True)
    for line in [*notes(verdict), *power_lines(verdict)]:
        console.print(Text(line), soft_wrap=True)
    style = {0: "bold green", 1: "bold red"}.get(verdict.exit_code, "bold yellow")
    console.print(Text(headline(verdict), style=style), soft_wrap=True)


def _width(rows: list[list[str]]) -> int:
    """The least that a table needs when only the cells' names are folded."""
    columns = list(zip(HEADINGS, *rows, strict=True))
    return _NAME_WIDTH + sum(max(map(len, column)) for column in columns[1:]) + 3 * len(columns)


def _print_table(verdict: Verdict, rows: list[list[str]], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        table.add_column(
            heading,
            justify="right" if 2 <= number <= 6 else "left",
            overflow="fold",
            no_wrap=number > 0,
        )
    for finding, texts in zip(verdict.findings, rows, strict=True):
        table.add_row(*map(Text, texts), style=_colour(finding))
    console.print(table)


def _print_list(verdict: Verdict, rows: list[list[str]], console: Console) -> None:
    from rich.text import Text

    for finding, (name, metric, recorded, now, *_, state) in zip(verdict.findings, rows, strict=True):
        line = f"{state}: {name}: {metric} {recorded} → {now}"
        console.print(Text(line, style=_colour(finding)), soft_wrap=True)


def _colour(finding: Finding) -> str:
    return _COLOURS.get(finding.state, "bold yellow")
