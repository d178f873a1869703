"""A verdict in words and short lines, shared by all faces."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

from robeval.gate.verdict import MEANING, Finding, Power, State, Verdict
from robeval.report.numbers import number, unit_of
from robeval.results.places import shown
from robeval.results.records import MetricRecord

HEADINGS = ("cell", "metric", "recorded", "now", "worse by [95 % interval]", "tolerated", "p", "state")
SIGNS: dict[State, str] = {
    "regressed": "✗",
    "failed": "!",
    "missing": "!",
    "invalid": "!",
    "suspicious": "?",
    "changed": "!",
    "uncertain": "~",
    "improved": "↑",
    "held": "✓",
}


def headline(verdict: Verdict) -> str:
    """The outcome in one sentence."""
    worse, open_ = verdict.of("regressed"), [f for f in verdict.findings if not f.is_judged]
    many = len({finding.cell.name for finding in verdict.findings})
    if worse:
        tail = f"; {_cells(open_)} could not be judged" if open_ else ""
        return f"regressed: {_cells(worse)} of {many} got worse{tail}"
    if open_:
        return f"incomplete: {_cells(open_)} of {many} could not be judged, so the gate cannot be passed"
    return f"held: {many} {'cell' if many == 1 else 'cells'}, none got significantly worse"


def _cells(findings: Sequence[Finding]) -> str:
    count = len({finding.cell.name for finding in findings})
    return f"{count} cell{'s' * (count != 1)}"


def row(finding: Finding) -> list[str]:
    """One line of the table, under `HEADINGS`."""
    metric = finding.metric
    name = f"{metric.name} [{unit_of(metric)}]" if unit_of(metric) else metric.name
    p = "–" if finding.p is None else chance(finding.p)
    return [
        finding.cell.name,
        name,
        number(finding.recorded, metric),
        number(finding.now, metric),
        worsened(finding),
        "–" if finding.allowance is None else amount(finding.allowance, metric),
        p,
        f"{SIGNS[finding.state]} {finding.state}",
    ]


def worsened(finding: Finding) -> str:
    """``+3.1 [1.2, 5.0]``; a plus sign means worse."""
    worse = finding.worse
    if worse is None or worse.value is None:
        return "–"
    if abs(worse.value) < 1e-12 and not worse.low and not worse.high:
        return "0"
    text = signed(worse.value, finding.metric)
    if worse.low is None or worse.high is None:
        return text
    return f"{text} [{signed(worse.low, finding.metric)}, {signed(worse.high, finding.metric)}]"


def amount(value: float, metric: MetricRecord) -> str:
    """A difference with a digit more than a figure has: differences are small."""
    if math.isinf(value):
        return "∞"
    scale = 100 if metric.kind == "proportion" else 1
    digits = max(metric.decimals - 2, 0) if metric.kind == "proportion" else metric.decimals
    text = f"{value * scale:.{digits + 1}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: float, metric: MetricRecord) -> str:
    """`amount` with its sign."""
    text = amount(value, metric)
    return text if text.startswith("-") or float(value) <= 0 else f"+{text}"


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def sentence(finding: Finding) -> str:
    """One finding, complete: what moved, by how much, how sure that is."""
    metric, unit = finding.metric, unit_of(finding.metric)
    unit = f" {unit}" if unit else ""
    if not finding.is_judged:
        return (
            f"{finding.state}: {finding.cell.name}: {metric.name}: {finding.reason or MEANING[finding.state]}"
        )
    points = " points" if metric.kind == "proportion" else unit
    worse = finding.worse
    by = "" if worse is None or worse.value is None else amount(abs(worse.value), metric)
    way = "worse" if worse is not None and (worse.value or 0) > 0 else "better"
    allowed = "" if finding.allowance is None else amount(finding.allowance, metric)
    p = "not tested" if finding.p is None else f"p {_related(finding.p)} corrected"
    return (
        f"{finding.state}: {finding.cell.name}: {metric.name} was {number(finding.recorded, metric)}{unit}, is "
        f"{number(finding.now, metric)}{unit}: {by}{points} {way} ({allowed} tolerated; {p}; n = {finding.n})"
    )


def _related(p: float) -> str:
    return chance(p) if p < 0.001 else f"= {chance(p)}"


def power_lines(verdict: Verdict) -> Iterator[str]:
    """Per metric and sample size: the smallest drop that would have been found, and what a small one needs."""
    grouped: dict[tuple[str, int], list[Finding]] = {}
    for finding in verdict.findings:
        if finding.power is not None:
            grouped.setdefault((finding.metric.name, finding.power.examples), []).append(finding)
    for (name, examples), findings in grouped.items():
        metric = findings[0].metric
        powers = [finding.power for finding in findings if finding.power is not None]
        yield f"{name}, {examples} examples: {_smallest(powers, metric)}; {_needed(powers, metric)}"


def _smallest(powers: Sequence[Power], metric: MetricRecord) -> str:
    known = [power.smallest for power in powers if power.smallest is not None]
    if not known:
        return "the smallest drop that fails the check is not known (every outcome is equal)"
    low, high = min(known), max(known)
    unit = "points" if metric.kind == "proportion" else metric.unit
    if math.isinf(low):
        return "so few that no drop would fail the check"
    span = " to ".join(dict.fromkeys([amount(low, metric), amount(high, metric)]))
    return f"a drop of {span} {unit}".rstrip() + " would have failed the check (80 % power)"


def _needed(powers: Sequence[Power], metric: MetricRecord) -> str:
    small = "2 points" if metric.kind == "proportion" else "2 %"
    known = [power.needed for power in powers if power.needed is not None]
    if not known:
        return f"how many a drop of {small} needs is not known"
    low, high = min(known), max(known)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"a drop of {small} needs {span} examples to be significant"


def record_command(verdict: Verdict) -> str:
    """What records this run as the baseline."""
    return shlex.join(["robeval", "baseline", shown(verdict.folder), "-o", str(verdict.baseline)])


def notes(verdict: Verdict) -> Iterator[str]:
    """What changed around the figures, what is new, and what to do."""
    for change in verdict.changes:
        if change.blocks:
            hint = " (compared all the same)" if verdict.allow_changed else ""
            yield f"changed: {change}{hint}"
        else:
            yield f"note: {change}"
    for name in verdict.new:
        yield f"new: {name}: not in the baseline, so not gated"
    better = verdict.of("improved")
    if better and verdict.exit_code == 0:
        yield f"{_cells(better)} improved. Record it, so that it stays: {record_command(verdict)}"
    elif better:
        yield f"{_cells(better)} improved; once the others are repaired, record it: {record_command(verdict)}"
    if verdict.of("changed"):
        yield f"if the change is meant, look at the figures and record them anew: {record_command(verdict)}"
