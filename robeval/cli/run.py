"""`robeval run`: attacks against defenses, and the matrix at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.cli.flags import plugin_files
from robeval.cli.interruption import interrupted
from robeval.errors import UsageError

if TYPE_CHECKING:
    from robeval.engine.experiment import Experiment
    from robeval.engine.plan import Plan
    from robeval.engine.run import Outcome


@click.command("run")
@click.argument("what", required=False, metavar="[DOMAIN|EXPERIMENT.yaml]")
@click.option(
    "--profile",
    metavar="NAME",
    help="A variant of the domain's default run, such as fast; other flags win. See: robeval show DOMAIN.",
)
@click.option(
    "-a",
    "--attack",
    "attacks",
    multiple=True,
    metavar="SPEC",
    help="An attack: name:option=value,... The clean row comes by itself.",
)
@click.option("-d", "--defense", "defenses", multiple=True, metavar="SPEC", help="A defense.")
@click.option("--dataset", "datasets", multiple=True, metavar="SPEC", help="A dataset.")
@click.option("--victim", "victims", multiple=True, metavar="SPEC", help="A victim.")
@click.option(
    "--budget",
    "budgets",
    metavar="B[,B...]",
    help="Budgets of every attack, in its own unit: 0.1,0.5,1 or log:0.01:1:6 for a security curve.",
)
@click.option(
    "--worst-of", is_flag=True, help="Add rows: per example, the worst of all attacks of that access."
)
@click.option(
    "--knowledge",
    type=click.Choice(["adaptive", "oblivious", "both"]),
    help="Does the attacker know the defense? Default: adaptive.",
)
@click.option("--seeds", type=click.IntRange(1), help="How many seeds (victims are trained anew for each).")
@click.option("--seed", type=click.IntRange(0), help="The first seed.")
@click.option("--max-examples", type=click.IntRange(1), help="Test examples per cell, a seeded choice.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Examples attacked together; figures do not depend on it."
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    help="What each process (on a GPU: its tensors) may hold, 2GiB say; batches shrink to fit, figures stay.",
)
@click.option(
    "--executor",
    type=click.Choice(["local", "processes", "ray"]),
    help="Where cells are computed. Default: local, one after the other.",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Workers of --executor processes or ray.")
@click.option("--address", metavar="ADDRESS", help="Of a Ray cluster; without it a local Ray is started.")
@click.option("--accelerator", help="Lightning's accelerator: auto, cpu, gpu...")
@click.option(
    "--devices", help="Devices that a cell spans: a number, or auto for all GPUs. Training takes one."
)
@click.option("--precision", help="Lightning's precision: 32-true, 64-true, bf16-mixed...")
@click.option(
    "--cell-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How long a cell, and each training, may take.",
)
@click.option(
    "--out",
    metavar="DIR|URL",
    help="Run folder, also s3://... or another URL. Default: runs/<domain>-<experiment's digest>.",
)
@click.option("--fresh", is_flag=True, help="Compute everything anew, whatever is cached.")
@click.option(
    "--logger",
    "loggers",
    multiple=True,
    metavar="NAME[,NAME...]",
    help="Tell an experiment tracker: csv, tensorboard, mlflow, wandb.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and what it may cost; run nothing.")
@click.option(
    "--save-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the YAML that repeats this run.",
)
@click.option("--audit", is_flag=True, help="Then ask every audit check of every cell (see: robeval audit).")
@click.option(
    "--counter", is_flag=True, help="Audit, and answer flags with counter-measures as further rows."
)
@click.option("--strict", is_flag=True, help="Exit 4 when a trust check finds a figure suspicious.")
@click.option(
    "--json", "json_file", metavar="FILE|-", help="Write the summary as JSON; - is standard output."
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Show this metric's matrix (several allowed)."
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@plugin_files
@click.pass_context
def command(context: click.Context, /, what: str | None, **flags: Any) -> int:
    """Run attacks against defenses and print the matrix.

    Without arguments: the trajectory domain's own data, victim, attacks and defenses.

    \b
    robeval run trajectory -a search -a sa-attack -d none -d smoothing
    robeval run experiment.yaml
    """
    try:
        return _run(what, flags, context.obj or (), debug="--debug" in sys.argv)
    except KeyboardInterrupt as stopped:
        return interrupted(stopped, None)


def _run(what: str | None, flags: dict[str, Any], words: Sequence[str], *, debug: bool) -> int:
    from robeval.plugins.discovery import discover

    experiment = _experiment(what, flags)
    registry = discover([Path(name) for name in experiment.plugins])
    _tell_broken(registry.broken)

    from robeval.engine.plan import make_plan
    from robeval.engine.precision import check_execution

    plan = make_plan(experiment, registry)
    check_execution(plan.experiment.execution)
    if flags["save_config"]:
        _save(plan.experiment, flags["save_config"])
    if flags["dry_run"]:
        return _show_plan(plan)
    return _execute(plan, flags, words, debug=debug)


def _experiment(what: str | None, flags: dict[str, Any]) -> Experiment:
    """The document named or described by the flags; flags win over the file."""
    from robeval.engine.experiment import build_experiment, read_experiment, specs
    from robeval.plugins.specs import PluginSpec

    given: dict[str, Any] = {
        name: specs(flags[name]) for name in ("attacks", "defenses", "datasets", "victims") if flags[name]
    }
    if "attacks" in given:
        # Every attacked figure is read against the clean one.
        given["attacks"] = tuple(dict.fromkeys((PluginSpec(name="none"), *given["attacks"])))
    plain = ("profile", "seeds", "seed", "max_examples")
    given |= {name: flags[name] for name in plain if flags[name] is not None}
    if flags["budgets"]:
        given["budgets"] = _numbers(flags["budgets"])
    if flags["worst_of"]:
        given["worst_of"] = True
    if flags["knowledge"]:
        given["knowledge"] = (
            ("adaptive", "oblivious") if flags["knowledge"] == "both" else (flags["knowledge"],)
        )
    if flags["plugin_files"]:
        given["plugins"] = tuple(str(path) for path in flags["plugin_files"])
    execution = {
        name: flags[name]
        for name in (
            "executor",
            "jobs",
            "address",
            "batch_size",
            "max_memory",
            "accelerator",
            "devices",
            "precision",
            "cell_timeout",
        )
        if flags[name] is not None
    }
    if flags["loggers"]:
        names = (name.strip() for text in flags["loggers"] for name in text.split(","))
        execution["loggers"] = tuple(dict.fromkeys(names))
    if "devices" in execution and str(execution["devices"]).lstrip("-").isdigit():
        execution["devices"] = int(execution["devices"])
    if what is not None and (what.endswith((".yaml", ".yml")) or "/" in what or Path(what).is_file()):
        base = read_experiment(Path(what)).model_dump()
        base["execution"] |= execution
        return build_experiment(**(base | given))
    if what is not None:
        given["domain"] = what
    experiment: Experiment = build_experiment(**given, execution=execution)
    return experiment


def _numbers(text: str) -> tuple[float | str, ...]:
    try:
        return tuple(part if ":" in part else float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--budget takes numbers separated by commas, not '{text}'") from None


def _save(experiment: Experiment, path: Path) -> None:
    from robeval.results.files import write_atomically

    write_atomically(path, experiment.to_yaml().encode())
    click.echo(f"wrote {path}; repeat with: robeval run {shlex.quote(str(path))}", err=True)


def _show_plan(plan: Plan) -> int:
    from robeval.cli.console import console
    from robeval.engine.cost import plan_table

    console().print(plan_table(plan))
    return 0


def _execute(plan: Plan, flags: dict[str, Any], words: Sequence[str], *, debug: bool) -> int:
    from rich.console import Console

    from robeval.cli.tracking import tracked
    from robeval.engine.cache import Cache, cache_directory
    from robeval.engine.progress import Watcher, watcher_for
    from robeval.engine.run import Interrupted, answering_signals, run
    from robeval.results.places import local_folder

    _check_metrics(plan, flags["metrics"])
    default = Path("runs") / f"{plan.experiment.domain}-{plan.experiment.identity()}"
    folder = local_folder(flags["out"] or default)
    cache = Cache(cache_directory(), fresh=flags["fresh"])
    watcher = Watcher() if flags["quiet"] else watcher_for(Console(stderr=True))
    repeat = shlex.join(["robeval", *(word for word in words if word != "--fresh")])
    try:
        with answering_signals(), watcher, tracked(plan, folder, watcher, repeat):
            outcome = run(plan, folder, cache, watcher, command=repeat, debug=debug)
            if flags["audit"] or flags["counter"]:
                from robeval.cli.audit import conduct

                conduct(plan, folder, replace(cache, fresh=False), watcher, flags)
    except (Interrupted, KeyboardInterrupt) as stopped:
        return interrupted(stopped, repeat)
    _report(outcome, flags)
    if flags["audit"] or flags["counter"]:
        from robeval.cli.audit import exit_code

        return max(outcome.exit_code(strict=False), exit_code(folder, strict=flags["strict"]))
    return outcome.exit_code(strict=flags["strict"])


def _check_metrics(plan: Plan, wanted: Sequence[str]) -> None:
    from robeval.errors import nearest

    known = [metric.name for metric in plan.catalog.domain.metrics]
    for name in wanted:
        if name not in (*known, "all"):
            near = nearest(name, known)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"no metric '{name}'.{hint} Known: {', '.join(known)}")


def _report(outcome: Outcome, flags: dict[str, Any]) -> None:
    from rich.console import Console

    from robeval.cli.console import console
    from robeval.report.render import print_report, render
    from robeval.results.places import shown

    target = flags["json_file"]
    screen = Console(stderr=True) if target == "-" else console()
    print_report(outcome.folder, screen, metrics=flags["metrics"] or None)
    if target == "-":
        click.echo(render(outcome.folder, "json"))
    elif target:
        from robeval.results.files import write_atomically

        write_atomically(Path(target), render(outcome.folder, "json").encode())
    where = f"{shown(outcome.folder)} · {outcome.seconds:.1f} s"
    click.echo(f"{where}, {outcome.from_cache} of {len(outcome.records)} cells from cache", err=True)


def _tell_broken(broken: list[tuple[str, str]]) -> None:
    for place, reason in broken:
        click.echo(f"broken plugin left out: {place}: {reason} (see: robeval doctor)", err=True)
