"""`robeval compare`: two finished runs side by side, from their records."""

from __future__ import annotations

from pathlib import Path

import click

from robeval.errors import UsageError

FORMATS = ("terminal", "markdown", "json")
_PLAIN_WIDTH = 120


@click.command("compare")
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Compare this metric (several allowed; 'all' for all). Default: the headline.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Chance of any false finding among all comparisons.",
)
@click.option(
    "--format", "-f", "format_", type=click.Choice(FORMATS), default="terminal", help="Default: terminal."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file.")
@click.option("--width", type=click.IntRange(40), metavar="COLUMNS", help="Width of the terminal report.")
def command(
    run_a: str,
    run_b: str,
    metrics: tuple[str, ...],
    alpha: float,
    format_: str,
    output: Path | None,
    width: int | None,
) -> None:
    """What changed from RUN_A (before) to RUN_B (after). Each is a folder, or a name under ./runs.

    Cells are matched by scenario, attack, budget, knowledge and defense, examples are paired where they are
    the same, and p-values are corrected over all comparisons. It exits 0 whatever it finds; a gate is: robeval
    check.

    \b
    robeval compare trajectory-1a2b3c4d trajectory-5e6f7a8b --metric ade --metric success
    robeval compare runs/main runs/mine --format markdown -o comparison.md
    """
    from robeval.report.compare import compare_runs
    from robeval.report.summary import find_run

    found = compare_runs(find_run(run_a), find_run(run_b), metrics or None, alpha=alpha)
    if output is None and format_ == "terminal":
        from robeval.cli.console import console
        from robeval.report.compare_terminal import print_comparison

        screen = console()
        if width:
            screen.width = width
        print_comparison(found, screen)
        return
    if format_ == "terminal":
        from robeval.report.compare_terminal import lines

        text = "\n".join(line.plain.rstrip() for line in lines(found, width or _PLAIN_WIDTH)) + "\n"
    elif format_ == "markdown":
        from robeval.report.compare_markdown import markdown_comparison

        text = markdown_comparison(found)
    else:
        from robeval.report.compare_json import json_comparison

        text = json_comparison(found)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _write(path: Path, text: str) -> None:
    from robeval.results.files import write_atomically

    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}. Choose another -o FILE.") from None
    click.echo(f"wrote {path}", err=True)
