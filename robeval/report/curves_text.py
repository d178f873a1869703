"""Curves and gaps in words, the same for every face that prints text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robeval.report.curves import Curve
from robeval.report.gap import ALPHA, Gap
from robeval.report.matrix import MARKS, countered, peculiar, short_names
from robeval.report.numbers import bounds, number, unit_of
from robeval.results.records import Figure, MetricRecord


def attacks_with_curves(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves by what their attack is called, without options where that tells them apart.

    No defense cannot be known: its oblivious curve is left out where the adaptive one is there.
    """
    known = {(c.attack, c.counter) for c in curves if c.knowledge == "adaptive" and c.defense == "none"}
    shown = [
        curve
        for curve in curves
        if not (
            curve.knowledge == "oblivious"
            and curve.defense == "none"
            and (curve.attack, curve.counter) in known
        )
    ]
    called = {curve.attack: countered(curve.attack) or curve.attack for curve in shown}
    short = short_names(called.values())
    found: dict[str, list[Curve]] = {}
    for curve in shown:
        words = peculiar(curve.attack, curve.knowledge, curve.counter)
        found.setdefault(", ".join([short[called[curve.attack]], *words]), []).append(curve)
    return found


def budget(value: float) -> str:
    """A budget that was run: three digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def between(value: float) -> str:
    """A budget between those that were run: two digits, it is not known better."""
    return budget(value) if abs(value) >= 100 else f"{value:.2g}"


def budgets(curves: Sequence[Curve]) -> str:
    """``deviation 0, 0.25, 0.5, 1 m``: all budgets of an attack's curves."""
    found = sorted({point.budget for curve in curves for point in curve.points})
    first = curves[0]
    return f"{first.budget_name} {', '.join(map(budget, found))} {first.unit}".strip()


def ends(curve: Curve) -> str:
    """``2.78 → 4.63``: the first and the last value."""
    first, last = (number(curve.points[k].value, curve.metric) for k in (0, -1))
    return f"{first} → {last}"


def area(curve: Curve) -> str:
    """``4.62 [3.51, 6.30]``, with the curve's mark."""
    if curve.area is None:
        return "incomplete"
    parts = [number(curve.area.value, curve.metric), bounds(curve.area, curve.metric), MARKS[curve.verdict]]
    return " ".join(filter(None, parts))


def crossing(curve: Curve) -> str:
    """``0.17 m [0.05, 0.23]``, ``> 1 m`` where the threshold is not reached."""
    if curve.crossing is None:
        return "–"
    value, low, high = (
        f"> {budget(curve.largest)}" if at is None else between(at)
        for at in (curve.crossing.value, curve.crossing.low, curve.crossing.high)
    )
    band = "" if curve.crossing.low is None else f"[{low}, {high}]"
    return " ".join(filter(None, [value, curve.unit, band]))


def reaches(curves: Sequence[Curve]) -> str:
    """``reaches 5.57 m at``: the head of the crossings."""
    threshold, metric = curves[0].threshold, curves[0].metric
    if threshold is None:
        return "threshold"
    verb = "reaches" if metric.direction == "lower" else "falls to"
    return f"{verb} {with_unit(number(threshold.value, metric), metric)} at"


def about_area(curves: Sequence[Curve]) -> str:
    """What the area is."""
    if all(curve.points[0].budget == 0 for curve in curves):
        return "area: the mean over all budgets from 0 to the largest"
    return "area: the mean over the budgets from the smallest to the largest"


def about_threshold(curves: Sequence[Curve]) -> str:
    """Which value the crossing is about."""
    threshold, metric = curves[0].threshold, curves[0].metric
    if threshold is None:
        return f"no threshold: {metric.name} has no clean value to take it from; --threshold sets one"
    another = "" if threshold.is_given else "; --threshold sets another"
    value = with_unit(number(threshold.value, metric), metric)
    return f"{value} is {threshold.origin}{another}; linear between budgets [where the interval's ends get there]"


def with_unit(text: str, metric: MetricRecord) -> str:
    """``5.57 m``."""
    return f"{text} {unit_of(metric)}".rstrip()


def gap_places(gaps: Sequence[Gap]) -> list[str]:
    """``search ≤ 1 m × smoothing``; scenarios only where they tell apart."""
    several = len({(gap.matrix.dataset, gap.matrix.victim) for gap in gaps}) > 1
    return [
        f"{gap.matrix.row_names()[gap.row]} {gap.row.grant} × {gap.defense}"
        + (f" on {gap.matrix.dataset}, {gap.matrix.victim}" if several else "")
        for gap in gaps
    ]


def difference(gap: Gap) -> str:
    """``+0.56 [0.21, 0.98]``."""
    metric, found = gap.matrix.metric, gap.comparison.difference
    if found.value is None:
        return "unknown"
    low_high = bounds(
        Figure(
            value=found.value,
            low=found.low,
            high=found.high,
            unit=metric.unit,
            direction=metric.direction,
            n=found.n,
        ),
        metric,
    )
    text = number(found.value, metric)
    sign = "+" if found.value > 0 and any(digit in text for digit in "123456789∞") else ""
    return " ".join(filter(None, [sign + text, low_high, MARKS[gap.verdict]]))


def chance(p: float | None) -> str:
    """``0.004``, never 0."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def meaning(gap: Gap) -> str:
    """One line that says what a gap means."""
    share = None if gap.lost is None else min(gap.lost, 1.0)
    if gap.outcome == "relies":
        return f"the defense relies on not being known: {_taken(share)}"
    if gap.outcome == "helps":
        return f"knowing the defense helps the attacker: {_taken(share)}"
    if gap.outcome == "misled":
        return (
            "knowing the defense makes the attack weaker: the defended victim misleads it, or it is too weak; "
            "judge the defense by the oblivious row"
        )
    if gap.p is not None and gap.comparison.p is not None and gap.comparison.p <= ALPHA < gap.p:
        return "no gap shown once corrected for the number of gaps"
    least = gap.comparison.detectable()
    if least is None:
        return "no gap shown"
    if math.isinf(least):
        return "no gap shown: too few independent examples to show any"
    metric = gap.matrix.metric
    return f"no gap shown; one of {with_unit(number(least, metric), metric)} would have shown 4 times in 5"


def _taken(share: float | None) -> str:
    if share is None:
        return "it does more damage than without"
    if share >= 1:
        return "it takes back all that the defense gained"
    return f"it takes back {100 * share:.0f} % of what the defense gained"


def about_gaps(gaps: Sequence[Gap]) -> str:
    """How to read the table of gaps."""
    metric = gaps[0].matrix.metric
    worse = "above" if metric.direction == "lower" else "below"
    several = f"Holm over {len(gaps)} gaps" if len(gaps) > 1 else "paired sign-flip test"
    return (
        f"{metric.name} of an attacker who knows the defense minus one who does not, paired by example; "
        f"{worse} 0 knowing helps the attacker; p: {several}"
    )
