"""``python -m benchmarks [NAME...]``: measure, keep one file per benchmark, write RESULTS.md.

Exit codes: 0 done (not run here counts as done), 2 the call was wrong, 3 a benchmark failed, 130 interrupted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.catalog import BENCHMARKS, chosen
from robeval.errors import UsageError

HERE = Path(__file__).resolve().parent
DONE, USAGE, FAILED, INTERRUPTED = 0, 2, 3, 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listing", is_flag=True, help="Name the benchmarks and what each takes.")
@click.option(
    "--quick",
    is_flag=True,
    help="Small and rough: shows that everything works. Printed; RESULTS.md stays as it is.",
)
@click.option(
    "--render", "only_render", is_flag=True, help="Write RESULTS.md from what is kept; measure nothing."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where results/ and RESULTS.md are. Default: this folder; with --quick a temporary one.",
)
def command(names: tuple[str, ...], listing: bool, quick: bool, only_render: bool, to: Path | None) -> int:
    """Measure what the README claims, all of it or by NAME, and write benchmarks/RESULTS.md."""
    benchmarks = chosen(names)
    if listing:
        for benchmark in benchmarks:
            click.echo(f"{benchmark.name:15s} {benchmark.about_s:4d} s  {benchmark.title}")
        return DONE
    if quick and to is None:
        with tempfile.TemporaryDirectory() as scratch:
            return _measure(names, Path(scratch), quick=True, printed=True)
    home = to or HERE
    if only_render:
        _write(home)
        return DONE
    return _measure(names, home, quick=quick, printed=False)


def _measure(names: tuple[str, ...], home: Path, *, quick: bool, printed: bool) -> int:
    from benchmarks.child import FAILED as HAS_FAILED
    from benchmarks.parent import measure_all
    from benchmarks.render import render

    began = time.perf_counter()
    interrupted, found = False, {}
    try:
        found = measure_all(chosen(names), home / "results", _say, quick=quick)
    except KeyboardInterrupt:
        interrupted = True
        _say(
            "interrupted; what was measured is kept, the same command with the other names measures the rest"
        )
    if printed:
        click.echo(render(chosen(names), home / "results"))
    else:
        _write(home)
    failed = [name for name, code in found.items() if code == HAS_FAILED]
    _say(f"{len(found)} benchmarks in {time.perf_counter() - began:.0f} s" + _failures(failed))
    return INTERRUPTED if interrupted else FAILED if failed else DONE


def _failures(names: list[str]) -> str:
    return f"; failed: {', '.join(names)}" if names else ""


def _write(home: Path) -> None:
    from benchmarks.render import render
    from benchmarks.store import write

    write(home / "RESULTS.md", render(BENCHMARKS, home / "results"))
    _say(f"wrote {home / 'RESULTS.md'}")


def _say(text: str) -> None:
    click.echo(text, err=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit code; errors become messages."""
    try:
        code: int = command.main(arguments, prog_name="python -m benchmarks", standalone_mode=False)
    except click.ClickException as error:
        _say(f"{error.format_message()}\nSee: python -m benchmarks --help")
        return USAGE
    except UsageError as error:
        _say(f"{error}\nSee: python -m benchmarks --list")
        return USAGE
    return code


if __name__ == "__main__":
    sys.exit(main())
