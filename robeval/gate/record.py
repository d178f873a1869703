"""From a finished run to the baseline that later runs are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robeval.errors import RobevalError, UsageError
from robeval.gate.places import figure, is_from_audit, outcomes_of, places
from robeval.report.summary import chosen_metrics, read_run
from robeval.results.baseline import (
    Baseline,
    BaselineCell,
    BaselineMetric,
    Outcomes,
    OutcomesFile,
    read_baseline,
)
from robeval.results.records import CellRecord, MetricRecord, RunRecord, Summary

_VERSIONS = ("torch", "numpy")
_SHOWN = 8


@dataclass
class Recorded:
    """A baseline that is ready to be written, and what a person should know of it."""

    baseline: Baseline
    outcomes: Outcomes
    notes: list[str] = field(default_factory=list)


def record(
    folder: Path,
    *,
    metrics: Sequence[str] = (),
    previous: Path | None = None,
    allow_suspicious: bool = False,
    leave_out_failed: bool = False,
) -> Recorded:
    """The baseline of a finished run. `metrics` that gate: by name, "all", or the headline when none is named.

    A `previous` baseline hands on its tolerances, and its metrics when none is named. Raises RobevalError for a
    run that is not finished or has cells whose figures nobody should rely on, UsageError for an unknown metric.
    """
    summary = read_run(folder)
    notes: list[str] = []
    _check_finished(folder, summary)
    chosen = _metrics(summary, metrics, _read_previous(previous, notes), notes)
    kept = _sound(summary, notes, allow_suspicious=allow_suspicious, leave_out_failed=leave_out_failed)
    outcomes: Outcomes = {}
    for cells in kept.values():
        outcomes |= outcomes_of(folder, cells, chosen)
    recorded = [_cell(name, cells, outcomes[name], chosen) for name, cells in kept.items()]
    versions = {"robeval": summary.environment.robeval}
    versions |= {p: v for p, v in summary.environment.packages.items() if p in _VERSIONS}
    baseline = Baseline(
        packages=versions,
        experiment=portable(summary.run.experiment),
        fingerprints=summary.run.fingerprints,
        metrics=chosen,
        outcomes=OutcomesFile(file="", sum=""),
        cells=recorded,
    )
    return Recorded(baseline, outcomes, notes)


def portable(experiment: dict[str, Any]) -> dict[str, Any]:
    """The experiment as it can be repeated on another machine: plugin files relative to the working folder."""
    found = {key: value for key, value in experiment.items() if key != "execution"}
    here = Path.cwd()
    files = [Path(name) for name in experiment.get("plugins", ())]
    inside = [path.is_absolute() and path.is_relative_to(here) for path in files]
    found["plugins"] = [
        (path.relative_to(here) if is_inside else path).as_posix()
        for path, is_inside in zip(files, inside, strict=True)
    ]
    return found


def _check_finished(folder: Path, summary: Summary) -> None:
    run: RunRecord = summary.run
    missing = len(run.cells) - len(summary.cells)
    if not run.complete or missing:
        raise RobevalError(
            f"{folder} is not finished ({missing} of {len(run.cells)} cells are missing). Finish it: {run.command}"
        )
    if not run.fingerprints:
        raise RobevalError(
            f"{folder} was made by a robeval that kept no fingerprints of data and plugins. "
            f"Make it again: {run.command}"
        )


def _read_previous(path: Path | None, notes: list[str]) -> Baseline | None:
    if path is None or not path.is_file():
        return None
    try:
        return read_baseline(path)
    except UsageError as error:
        notes.append(f"what was in {path} is replaced, tolerances too, because it cannot be read: {error}")
        return None


def _metrics(
    summary: Summary, names: Sequence[str], previous: Baseline | None, notes: list[str]
) -> list[BaselineMetric]:
    before = {metric.name: metric for metric in previous.metrics} if previous else {}
    found = [_gating(metric) for metric in chosen_metrics(summary, list(names) or list(before) or None)]
    kept = [
        metric.model_copy(
            update={"tolerance": before[metric.name].tolerance, "relative": before[metric.name].relative}
        )
        if metric.name in before
        else metric
        for metric in found
    ]
    if kept != found:
        notes.append("tolerances are kept from the baseline that this one replaces")
    return kept


def _gating(metric: MetricRecord) -> BaselineMetric:
    # A share has a natural scale; any other figure is measured against itself.
    return BaselineMetric(**metric.model_dump(), relative=metric.kind != "proportion")


def _sound(
    summary: Summary, notes: list[str], *, allow_suspicious: bool, leave_out_failed: bool
) -> dict[str, list[CellRecord]]:
    """The places that can be relied on. Raises RobevalError naming those that cannot."""
    kept: dict[str, list[CellRecord]] = {}
    broken: list[str] = []
    doubted: list[str] = []
    for name, cells in places(summary.cells).items():
        if all(cell.status == "n/a" for cell in cells):
            continue
        problem = next(filter(None, map(_problem, cells)), None)
        if problem:
            broken.append(f"{name}: {problem}")
            continue
        if any(cell.verdict == "suspicious" for cell in cells):
            doubted.append(f"{name}: suspicious: {_evidence(cells)}")
        kept[name] = cells
    if broken and not leave_out_failed:
        raise RobevalError(
            _listed("there is nothing to hold a later run against", broken)
            + "\nRepair them and run again, or leave these cells out of the gate: --leave-out-failed"
        )
    if doubted and not allow_suspicious:
        raise RobevalError(
            _listed("these figures may be better than the truth", doubted)
            + "\nSee: robeval audit RUN. To record them all the same: --allow-suspicious"
        )
    if not kept:
        raise RobevalError("no cell of this run can be recorded: every one failed, is invalid or is n/a.")
    if broken:
        notes.append(_listed("left out, so not gated", broken))
    if doubted:
        notes.append(_listed("recorded although suspicious", doubted))
    if any(map(is_from_audit, summary.cells)):
        notes.append("rows that an audit added are not recorded: the experiment does not ask for them")
    return kept


def _problem(cell: CellRecord) -> str | None:
    if cell.status != "done":
        return f"{cell.status} (seed {cell.seed}): {cell.error or 'no reason was recorded'}"
    return f"invalid (seed {cell.seed}): {_evidence([cell])}" if cell.verdict == "invalid" else None


def _evidence(cells: Sequence[CellRecord]) -> str:
    messages = [e.message for cell in cells for e in cell.evidence if e.severity != "ok"]
    return "; ".join(dict.fromkeys(messages)) or "no evidence was recorded"


def _listed(title: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([f"{len(lines)} cell{'s' * (len(lines) > 1)}: {title}", *lines[:_SHOWN], *more])


def _cell(
    name: str, cells: Sequence[CellRecord], table: dict[str, Any], metrics: Sequence[BaselineMetric]
) -> BaselineCell:
    first = cells[0]
    doubted = any(cell.verdict == "suspicious" for cell in cells)
    return BaselineCell(
        name=name,
        dataset=first.dataset,
        victim=first.victim,
        attack=first.attack,
        defense=first.defense,
        knowledge=first.knowledge,
        certified=first.certified,
        budget=first.budget,
        seeds=[cell.seed for cell in cells],
        n=len(table["example"]),
        verdict="suspicious" if doubted else "ok",
        figures={metric.name: rounded(figure(table, metric)) for metric in metrics},
    )


def rounded(value: float | None) -> float | None:
    """Five digits that count: enough to read, few enough for a diff."""
    return None if value is None else float(f"{value:.5g}")
