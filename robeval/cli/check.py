"""`robeval check`: run again, compare with the baseline, and fail when something got worse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.cli.flags import plugin_files
from robeval.cli.interruption import interrupted
from robeval.errors import UsageError

if TYPE_CHECKING:
    from robeval.gate.check import Request
    from robeval.gate.verdict import Verdict

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("check")
@click.argument(
    "experiment", required=False, metavar="[EXPERIMENT.yaml]", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--baseline",
    type=_FILE,
    metavar="FILE",
    default=Path("robeval-baseline.json"),
    help="Default: robeval-baseline.json.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1e9),
    metavar="SHARE",
    help="Replaces the tolerances of FILE: 0.02 is two points of a share, 2 % of other figures.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    help="How sure a regression must be, over all cells together. Default: 0.05.",
)
@click.option("--allow-changed", is_flag=True, help="Compare although data, scoring or attack changed.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML: one test case per cell.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write Markdown.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write JSON; - is standard output.")
@click.option("--out", metavar="DIR|URL", help="Run folder. Default: as for robeval run.")
@click.option("--fresh", is_flag=True, help="Compute everything anew, whatever is cached.")
@click.option(
    "--executor",
    type=click.Choice(["local", "processes", "ray"]),
    help="Where cells are computed. Default: local, one after the other.",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Workers of --executor processes or ray.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples attacked together.")
@click.option("--accelerator", help="Lightning's accelerator: auto, cpu, gpu...")
@click.option(
    "--cell-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How long a cell, and each training, may take.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@plugin_files
@click.pass_context
def command(context: click.Context, /, experiment: Path | None, **flags: Any) -> int:
    """Run a recorded experiment again and fail when a figure got worse.

    A cell fails when it is worse by more than the tolerance and significantly so. Without EXPERIMENT.yaml:
    the experiment that the baseline carries.

    \b
    Exit codes: 0 held · 1 a cell got worse (whatever else went wrong) · 2 usage
                3 a cell failed, is missing, invalid or not comparable

    \b
    robeval check experiment.yaml --junit robeval.xml
    """
    try:
        return _check(experiment, flags, context.obj or ())
    except KeyboardInterrupt as stopped:
        return interrupted(stopped, _repeat(context.obj or ()))


def _check(experiment: Path | None, flags: dict[str, Any], words: Sequence[str]) -> int:
    from rich.console import Console

    from robeval.gate.check import Request, check
    from robeval.results.places import local_folder

    _check_targets(flags)
    request = Request(
        experiment=experiment,
        baseline=flags["baseline"],
        tolerance=flags["tolerance"],
        alpha=flags["alpha"],
        allow_changed=flags["allow_changed"],
        out=local_folder(flags["out"]) if flags["out"] else None,
        plugins=tuple(flags["plugin_files"]),
        execution={
            name: flags[name]
            for name in ("executor", "jobs", "batch_size", "accelerator", "cell_timeout")
            if flags[name] is not None
        },
        fresh=flags["fresh"],
        command=_repeat(words),
    )
    return _conduct(request, flags, words, Console(stderr=True), check)


def _conduct(request: Request, flags: dict[str, Any], words: Sequence[str], screen: Any, check: Any) -> int:
    from robeval.engine.progress import Watcher, watcher_for
    from robeval.engine.run import Interrupted

    watcher = Watcher() if flags["quiet"] else watcher_for(screen)
    try:
        verdict = check(request, watcher, _say)
    except (Interrupted, KeyboardInterrupt) as stopped:
        return interrupted(stopped, _repeat(words))
    _tell(verdict, flags)
    code: int = verdict.exit_code
    return code


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line, err=True)


def _tell(verdict: Verdict, flags: dict[str, Any]) -> None:
    """Every face that was asked for; on GitHub also the job summary and annotations."""
    from rich.console import Console

    from robeval.cli.console import console
    from robeval.gate.github import workflow_commands, write_summary
    from robeval.gate.json_ import json_verdict
    from robeval.gate.junit import junit
    from robeval.gate.markdown import markdown
    from robeval.gate.terminal import print_verdict
    from robeval.results.files import write_atomically

    target = flags["json_file"]
    faces = {"junit": junit, "markdown": markdown}
    for name, face in faces.items():
        if flags[name]:
            write_atomically(flags[name], face(verdict).encode())
    if target and target != "-":
        write_atomically(Path(target), json_verdict(verdict).encode())
    write_summary(verdict)
    if target == "-":
        click.echo(json_verdict(verdict), nl=False)
    print_verdict(verdict, Console(stderr=True) if target == "-" else console())
    for line in workflow_commands(verdict):
        click.echo(line, err=target == "-")


def _check_targets(flags: dict[str, Any]) -> None:
    """Said before an hour of work, not after it."""
    for name in ("junit", "markdown", "json_file"):
        target = flags[name]
        if not target or str(target) == "-":
            continue
        folder = Path(target).parent
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if Path(target).is_dir() or not existing.is_dir():
            raise UsageError(f"cannot write {target}: it is not a file in a folder. Choose another FILE.")


def _repeat(words: Sequence[str]) -> str:
    return shlex.join(["robeval", *(word for word in words if word != "--fresh")])
