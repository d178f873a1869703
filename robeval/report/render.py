"""The one entry to all faces of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from robeval.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console
    from rich.text import Text

Format = Literal["terminal", "markdown", "html", "json", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)
_PLAIN_WIDTH = 100


def render(
    run_folder: Path | str,
    format: str,
    metrics: Sequence[str] | None = None,
    width: int | None = None,
    *,
    by_group: bool = False,
    by_budget: bool = False,
    thresholds: Mapping[str, float] | None = None,
    max_pictures: int | None = None,
) -> str:
    """A run's report as text. `metrics` are names, "all", or nothing for the headline (HTML, JSON and CSV: all).

    `max_pictures` limits the examples of the HTML face, 0 for none; to draw them takes the victims. `width` is
    the terminal face's; its text carries no colour. `by_budget` is the terminal's and Markdown's: matrices with
    every budget. `thresholds` are the values by metric at which curves are said to cross. JSON always holds the
    groups; its curves and gaps are the headline's or the named metrics'.
    Raises UsageError for an unknown format or metric, StoreError for records that cannot be read.
    """
    folder = Path(run_folder)
    if format == "terminal":
        from robeval.report.terminal import lines

        columns = max(width or _PLAIN_WIDTH, 40)
        found = lines(folder, columns, metrics, by_group=by_group, by_budget=by_budget, thresholds=thresholds)
        return "\n".join(line.plain.rstrip() for line in found) + "\n"
    if format == "markdown":
        from robeval.report.markdown import markdown

        return markdown(folder, metrics, by_group=by_group, by_budget=by_budget, thresholds=thresholds)
    if format == "html":
        from robeval.report.html.gallery import LIMIT
        from robeval.report.html.page import html_report

        return html_report(
            folder, metrics, by_group=by_group, pictures=LIMIT if max_pictures is None else max_pictures
        )
    if format == "json":
        from robeval.report.json_ import json_report

        return json_report(folder, metrics, thresholds=thresholds)
    if format == "csv":
        from robeval.report.csv_ import csv_report

        return csv_report(folder, metrics, by_group=by_group)
    raise UsageError(f"no report format '{format}'. Known: {', '.join(FORMATS)}")


def print_lines(laid_out: Callable[[int], Iterator[Text]], console: Console) -> None:
    """Lines that are laid out for a width, coloured as far as `console` allows."""
    from robeval.report.terminal import print_laid_out

    print_laid_out(laid_out, console)


def print_report(
    run_folder: Path | str,
    console: Console,
    metrics: Sequence[str] | None = None,
    *,
    by_group: bool = False,
    by_budget: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """The terminal face, coloured as far as `console` allows; the options are those of `render`.

    Raises UsageError for an unknown metric, StoreError for records that cannot be read.
    """
    from robeval.report.terminal import print_terminal

    print_terminal(
        Path(run_folder), console, metrics, by_group=by_group, by_budget=by_budget, thresholds=thresholds
    )
