"""`robeval report`: a finished (or unfinished) run again, from its records."""

from __future__ import annotations

from pathlib import Path

import click

from robeval.errors import UsageError

FORMATS = ("terminal", "markdown", "html", "json", "csv")


@click.command("report")
@click.argument("run", metavar="RUN")
@click.option(
    "--format", "-f", "format_", type=click.Choice(FORMATS), default="terminal", help="Default: terminal."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Show this metric (several allowed; 'all' for all). Default: the headline; HTML, JSON and CSV: all.",
)
@click.option("--by-group", is_flag=True, help="Also one matrix per group of examples (speed regime...).")
@click.option(
    "--by-budget", is_flag=True, help="Matrices with every budget, not only the largest. Terminal, Markdown."
)
@click.option(
    "--threshold",
    "limits",
    multiple=True,
    metavar="[METRIC=]VALUE",
    help="From which value a figure is too bad: 3, 50%, success=50%. Default: half or twice the clean value.",
)
@click.option("--width", type=click.IntRange(40), metavar="COLUMNS", help="Width of the terminal report.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw the worst, median and best example of every cell.",
)
@click.option("--picture-format", type=click.Choice(["png", "svg"]), default="png", help="Default: png.")
@click.option("--open", "open_", is_flag=True, help="HTML: show it in the browser.")
@click.option("--no-pictures", is_flag=True, help="HTML: leave out the examples, which take the longest.")
@click.option(
    "--max-pictures", type=click.IntRange(0), metavar="N", help="HTML: at most so many examples. Default: 45."
)
def command(
    run: str,
    format_: str,
    output: Path | None,
    metrics: tuple[str, ...],
    by_group: bool,
    by_budget: bool,
    limits: tuple[str, ...],
    width: int | None,
    pictures: Path | None,
    picture_format: str,
    open_: bool,
    no_pictures: bool,
    max_pictures: int | None,
) -> None:
    """Show a run again. RUN is its folder, or its name under ./runs.

    \b
    robeval report trajectory-1a2b3c4d --metric ade --metric success
    robeval report runs/mine --format markdown -o report.md
    robeval report runs/mine --format html --open
    """
    from robeval.report.render import print_report, render
    from robeval.report.summary import find_run

    folder = find_run(run)
    if format_ != "html" and (open_ or no_pictures or max_pictures is not None):
        raise UsageError("--open, --no-pictures and --max-pictures belong to --format html. Add it.")
    thresholds = _thresholds(folder, limits, metrics) if limits else None
    if no_pictures:
        max_pictures = 0
    if output is None and open_:
        output = folder / "report.html"
    if output is None and format_ == "terminal":
        from robeval.cli.console import console

        screen = console()
        if width:
            screen.width = width
        print_report(
            folder, screen, metrics or None, by_group=by_group, by_budget=by_budget, thresholds=thresholds
        )
    else:
        if format_ == "html" and max_pictures != 0:
            click.echo("drawing examples; --no-pictures leaves them out", err=True)
        text = render(
            folder,
            format_,
            metrics or None,
            width,
            by_group=by_group,
            by_budget=by_budget,
            thresholds=thresholds,
            max_pictures=max_pictures,
        )
        if output is None:
            click.echo(text, nl=False)
        else:
            _write(output, text)
            if open_:
                click.launch(str(output))
    if pictures is not None:
        from robeval.report.pictures import write_pictures

        written = write_pictures(folder, pictures, "svg" if picture_format == "svg" else "png")
        click.echo(f"wrote {len(written)} pictures to {pictures}", err=True)


def _thresholds(folder: Path, texts: tuple[str, ...], metrics: tuple[str, ...]) -> dict[str, float]:
    from robeval.report.curves import given_thresholds
    from robeval.report.summary import chosen_metrics, read_run

    return given_thresholds(texts, chosen_metrics(read_run(folder), metrics or None))


def _write(path: Path, text: str) -> None:
    from robeval.results.files import write_atomically

    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}. Choose another -o FILE.") from None
    click.echo(f"wrote {path}", err=True)
