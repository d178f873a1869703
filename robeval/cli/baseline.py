"""`robeval baseline`: record a run's figures, so that `robeval check` can hold later runs against them."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("baseline")
@click.argument("run", metavar="RUN")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default=Path("robeval-baseline.json"),
    help="Default: robeval-baseline.json. The outcomes go to a Parquet file beside it.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Gate on this metric (several allowed; 'all' for all). Default: those of FILE, else the headline.",
)
@click.option(
    "--allow-suspicious", is_flag=True, help="Record also figures that a trust check finds suspicious."
)
@click.option(
    "--leave-out-failed", is_flag=True, help="Record the other cells where some failed or are invalid."
)
def command(
    run: str, output: Path, metrics: tuple[str, ...], allow_suspicious: bool, leave_out_failed: bool
) -> None:
    """Record the figures of a finished run. RUN is its folder, or its name under ./runs.

    \b
    robeval baseline runs/trajectory-1a2b3c4d
    robeval check
    """
    from robeval.gate.record import record
    from robeval.report.summary import find_run
    from robeval.results.baseline import outcomes_path, write_baseline

    folder = find_run(run)
    found = record(
        folder,
        metrics=metrics,
        previous=output,
        allow_suspicious=allow_suspicious,
        leave_out_failed=leave_out_failed,
    )
    write_baseline(output, found.baseline, found.outcomes)
    for note in found.notes:
        click.echo(note, err=True)
    cells = len(found.baseline.cells)
    click.echo(f"wrote {output} ({cells} cell{'s' * (cells != 1)}) and {outcomes_path(output)}; commit both.")
    for metric in found.baseline.metrics:
        share = "of the recorded figure" if metric.relative else "points of a share"
        amount = f"{100 * metric.tolerance:g} {'% ' if metric.relative else ''}{share}"
        unit = "" if metric.relative or metric.kind == "proportion" else f" {metric.unit}"
        if not metric.relative and metric.kind != "proportion":
            amount = f"{metric.tolerance:g}{unit}"
        click.echo(f"gates on {metric.name}: {metric.direction} is better, tolerance {amount}")
