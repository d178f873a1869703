"""`robeval audit`: can the figures of a finished run be trusted?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.cli.interruption import interrupted

if TYPE_CHECKING:
    from robeval.engine.cache import Cache
    from robeval.engine.plan import Plan
    from robeval.engine.progress import Watcher


@click.command("audit")
@click.argument("run", metavar="RUN")
@click.option(
    "--check", "checks", multiple=True, metavar="SPEC", help="Only this check: name:threshold=value,..."
)
@click.option(
    "--examples", type=click.IntRange(2), default=32, help="Examples of the further cells. Default: 32."
)
@click.option("--counter", is_flag=True, help="Answer flags: add counter-measures as rows and score again.")
@click.option("--strict", is_flag=True, help="Exit 4 when a check flags a cell.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write the audit as JSON; - is standard output.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.pass_context
def command(context: click.Context, /, run: str, **flags: Any) -> int:
    """Audit a run: random noise, one step, more budget, less access, lost gradients...

    RUN is its folder, or its name under ./runs. Further cells are kept in its folder `audit/`, what they
    show in `audit.json`.

    \b
    robeval audit trajectory-1a2b3c4d --counter
    robeval list checks
    """
    from rich.console import Console

    from robeval.engine.cache import Cache, cache_directory
    from robeval.engine.progress import Watcher, watcher_for
    from robeval.engine.replay import plan_of
    from robeval.engine.run import Interrupted, answering_signals
    from robeval.report.summary import find_run

    folder = find_run(run)
    plan = plan_of(folder)
    watcher = Watcher() if flags["quiet"] else watcher_for(Console(stderr=True))
    try:
        with answering_signals(), watcher:
            conduct(plan, folder, Cache(cache_directory()), watcher, flags)
    except (Interrupted, KeyboardInterrupt) as stopped:
        return interrupted(stopped, shlex.join(["robeval", *(context.obj or ())]))
    show(folder, flags["json_file"])
    return exit_code(folder, strict=flags["strict"])


def conduct(plan: Plan, folder: Path, cache: Cache, watcher: Watcher, flags: dict[str, Any]) -> None:
    """Audit a finished run as the flags say."""
    from robeval.engine.audit import audit
    from robeval.engine.experiment import specs

    audit(
        plan,
        folder,
        cache,
        watcher,
        checks=specs(tuple(flags.get("checks", ()))),
        examples=flags.get("examples", 32),
        counter=bool(flags.get("counter")),
        debug="--debug" in sys.argv,
    )


def show(folder: Path, json_file: str | None) -> None:
    """Print the audit, and write it as JSON where asked."""
    from rich.console import Console

    from robeval.cli.console import console
    from robeval.report.render import print_lines
    from robeval.results.audit import NAME
    from robeval.results.files import write_atomically

    content = (folder / NAME).read_bytes()
    if json_file == "-":
        click.echo(content.decode(), nl=False)
    elif json_file:
        write_atomically(Path(json_file), content)
    print_lines(_lines(folder), Console(stderr=True) if json_file == "-" else console())


def _lines(folder: Path) -> Any:
    from robeval.report.audit import audit_lines, audit_table

    table = audit_table(folder)
    return (lambda width: audit_lines(table, width)) if table else (lambda width: iter(()))


def exit_code(folder: Path, *, strict: bool) -> int:
    """0 · 3 when a cell is invalid or failed · 4 when one is suspicious, under --strict."""
    from robeval.report.summary import read_run

    cells: Sequence[Any] = read_run(folder).cells
    if any(cell.status in ("failed", "missing") or cell.verdict == "invalid" for cell in cells):
        return 3
    return 4 if strict and any(cell.verdict == "suspicious" for cell in cells) else 0
