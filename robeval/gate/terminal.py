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


def print_verdict(verdict: Verdict, console: Console) -> None:
    """The table of all cells, the sentences about those that moved, and the outcome last."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=None, pad_edge=False)
    for number, heading in enumerate(HEADINGS):
        is_number = 2 <= number <= 6
        table.add_column(
            heading, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for finding in verdict.findings:
        table.add_row(*(Text(text) for text in row(finding)), style=_colour(finding))
    console.print(table)
    for finding in verdict.findings:
        if finding.state != "held":
            console.print(Text(sentence(finding), style=_colour(finding)), soft_wrap=True)
    for line in [*notes(verdict), *power_lines(verdict)]:
        console.print(Text(line), soft_wrap=True)
    style = {0: "bold green", 1: "bold red"}.get(verdict.exit_code, "bold yellow")
    console.print(Text(headline(verdict), style=style), soft_wrap=True)


def _colour(finding: Finding) -> str:
    return _COLOURS.get(finding.state, "bold yellow")
