"""Whether each cell of a run still holds what the baseline recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from robeval.errors import StoreError, UsageError
from robeval.gate.paired import Paired, Place, compare, power, worsening
from robeval.gate.places import figure, outcomes_of, places
from robeval.gate.verdict import Change, Finding, State
from robeval.report.summary import read_run
from robeval.results.baseline import Baseline, BaselineCell, BaselineMetric, Outcomes
from robeval.results.records import CellRecord

_ROUNDING = 1e-9
_COMPARED_BY = ("domain", "dataset", "attack")
"""Of these a change makes figures incomparable; a changed victim or defense is what a check is about."""


def changes(baseline: Baseline, fingerprints: Mapping[str, str], packages: Mapping[str, str]) -> list[Change]:
    """What differs between the recorded fingerprints and versions and those of now."""
    found = [
        Change(name, before, fingerprints[name], name.split(" ")[0] in _COMPARED_BY)
        for name, before in baseline.fingerprints.items()
        if fingerprints.get(name, before) != before
    ]
    versions = [
        Change(f"package {name}", before, packages[name], blocks=False)
        for name, before in baseline.packages.items()
        if packages.get(name, before) != before
    ]
    return [*found, *versions]


def check_figures(path: Path, baseline: Baseline, outcomes: Outcomes) -> None:
    """Raises UsageError where a figure in the JSON is not what its outcomes give."""
    for cell in baseline.cells:
        for metric in baseline.metrics:
            told, found = cell.figures[metric.name], figure(outcomes[cell.name], metric)
            values = np.abs(outcomes[cell.name][metric.column])
            scale = float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
            if (told is None) != (found is None) or (
                told is not None
                and found is not None
                and abs(told - found) > 1e-4 * max(abs(found), min(scale, 1e30))
            ):
                raise UsageError(
                    f"{path}: cell '{cell.name}' says {metric.name} {told}, and its recorded outcomes give {found}. "
                    "Figures are recorded, not edited; edit the metric's tolerance instead. "
                    "To record again: robeval baseline RUN -o FILE"
                )


def judge(
    baseline: Baseline,
    recorded: Outcomes,
    folder: Path,
    changed: Sequence[Change] = (),
    *,
    tolerance: float | None = None,
    alpha: float = 0.05,
    allow_changed: bool = False,
) -> tuple[list[Finding], list[str]]:
    """A finding for every cell and metric of the baseline, and the names of cells that it does not know."""
    here = places(read_run(folder).cells)
    broken: dict[str, tuple[State, str]] = {}
    now: Outcomes = {}
    for cell in baseline.cells:
        records = here.get(cell.name, [])
        trouble = _trouble(cell, records) or _blocked(cell, changed, allow_changed=allow_changed)
        if trouble is None:
            try:
                now |= outcomes_of(folder, records, baseline.metrics)
            except StoreError as error:
                trouble = "failed", str(error)
        if trouble is not None:
            broken[cell.name] = trouble
    compared = [cell for cell in baseline.cells if cell.name not in broken]
    pairs = compare(compared, baseline.metrics, recorded, now)
    findings = []
    for cell in baseline.cells:
        for metric in baseline.metrics:
            if cell.name in broken:
                state, reason = broken[cell.name]
                findings.append(
                    Finding(cell, metric, state, reason, recorded=figure(recorded[cell.name], metric))
                )
            else:
                pair = pairs[Place(cell.name, metric.name)]
                doubt = _doubt(cell, here[cell.name])
                findings.append(
                    _finding(cell, metric, pair, doubt, tolerance, alpha, allow_changed=allow_changed)
                )
    known = {cell.name for cell in baseline.cells}
    new = [name for name, cells in here.items() if name not in known and cells[0].status != "n/a"]
    return findings, new


def _trouble(cell: BaselineCell, records: Sequence[CellRecord]) -> tuple[State, str] | None:
    """Why there is no figure to compare, if there is none."""
    by_seed = {record.seed: record for record in records}
    absent = [seed for seed in cell.seeds if seed not in by_seed]
    if absent:
        return "missing", f"no result for seed {', '.join(map(str, absent))}"
    for seed in cell.seeds:
        record = by_seed[seed]
        if record.status == "failed":
            return "failed", f"seed {seed}: {record.error or 'no reason was recorded'}"
        if record.status != "done":
            return "missing", f"seed {seed}: {record.status}: {record.error or 'no reason was recorded'}"
        if record.verdict == "invalid":
            return "invalid", f"seed {seed}: {_evidence([record])}"
    return None


def _blocked(
    cell: BaselineCell, changed: Sequence[Change], *, allow_changed: bool
) -> tuple[State, str] | None:
    if allow_changed:
        return None
    reasons = [
        str(change)
        for change in changed
        if change.blocks and _concerns(change.what, cell, change.what.split(" ", 1)[0])
    ]
    return ("changed", "; ".join(reasons) + " (compare all the same: --allow-changed)") if reasons else None


def _concerns(what: str, cell: BaselineCell, kind: str) -> bool:
    name = what.split(" ", 1)[1]
    if kind == "domain":
        return True
    if kind == "dataset":
        return name == cell.dataset
    return name == cell.attack or cell.attack.partition(":")[0] == "worst-of"


def _doubt(cell: BaselineCell, records: Sequence[CellRecord]) -> str:
    """Why the new figure may be too good, where the recorded one was not doubted."""
    doubted = [record for record in records if record.verdict == "suspicious"]
    return _evidence(doubted) if doubted and cell.verdict == "ok" else ""


def _evidence(records: Sequence[CellRecord]) -> str:
    messages = [e.message for record in records for e in record.evidence if e.severity != "ok"]
    return "; ".join(dict.fromkeys(messages)) or "no evidence was recorded"


def _finding(
    cell: BaselineCell,
    metric: BaselineMetric,
    paired: Paired,
    doubt: str,
    tolerance: float | None,
    alpha: float,
    *,
    allow_changed: bool,
) -> Finding:
    comparison, worse = paired.comparison, worsening(paired, metric)
    recorded = comparison.first
    if (paired.lost or paired.added) and not allow_changed:
        reason = (
            f"{paired.lost} of {cell.n} recorded outcomes have no counterpart, {paired.added} new ones are unknown "
            "(compare what is shared: --allow-changed)"
        )
        return Finding(cell, metric, "changed", reason, recorded, comparison.second, n=worse.n)
    if recorded is None or worse.value is None or not np.isfinite(worse.value):
        reason = (
            f"the figure is {comparison.second} and was {recorded}"
            if worse.n
            else "no example has the metric in both runs"
        )
        return Finding(cell, metric, "invalid", reason, recorded, comparison.second, n=worse.n)
    allowance = metric.allowance(recorded, tolerance)
    p, state, reason = paired.p_worse, "held", ""
    if worse.value > allowance + _ROUNDING:
        state = "regressed" if p is not None and p <= alpha else "uncertain"
    elif -worse.value > allowance + _ROUNDING and (paired.p_better or 1.0) <= alpha:
        state = "improved"
    if doubt and state != "regressed":
        state, reason = "suspicious", doubt
    shown = paired.p_better if state == "improved" else p
    return Finding(
        cell,
        metric,
        state,  # type: ignore[arg-type]
        reason,
        recorded,
        comparison.second,
        worse,
        shown,
        allowance,
        worse.n,
        power(paired, metric, allowance, alpha),
    )
