"""The sentences and numbers of a comparison, the same in every face for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from robeval.report.compare_model import Change, Place, RunComparison
from robeval.report.numbers import number, unit_of
from robeval.results.records import MetricRecord

_SHORT = {
    "worse": "worse",
    "lost": "without a figure now",
    "doubtful": "newly suspicious or doubtful",
    "better": "better",
    "found": "with a figure now",
    "untested": "not comparable",
    "same": "without a shown difference",
    "identical": "the same in every example",
}


def head(found: RunComparison) -> Iterator[str]:
    """What was compared, and what came out."""
    counts = [f"{count} {_SHORT[outcome]}" for outcome, count in found.counts().items()]
    places = len({change.place for change in found.changes})
    yield f"{places} cells in both runs · " + ", ".join(counts)
    yield from _directions(found.metrics)
    yield (
        f"before → after, difference [95 % interval], p corrected by Holm over {found.family} comparisons "
        f"(α = {found.alpha:g}), d = difference in standard deviations"
    )
    yield from found.common_notes


def _directions(metrics: Sequence[MetricRecord]) -> Iterator[str]:
    for direction in ("lower", "higher"):
        names = [_metric(metric) for metric in metrics if metric.direction == direction]
        if names:
            yield f"{', '.join(names)}: {direction} is better for the defender"
    if any(metric.kind == "proportion" for metric in metrics):
        yield "differences of shares [%] are in percentage points"


def _metric(metric: MetricRecord) -> str:
    return f"{metric.name} [{unit_of(metric)}]" if unit_of(metric) else metric.name


def values(change: Change) -> str:
    """``4.06 → 5.12?``: both figures with their marks, or the states that they are in."""
    texts: list[str] = []
    for side, value in ((change.before, _first(change)), (change.after, _second(change))):
        if side.status != "done":
            texts.append(side.status)
        elif change.comparison is None:
            texts.append(number(None, change.metric) + side.mark)
        else:
            texts.append(number(value, change.metric) + side.mark)
    return " → ".join(texts)


def _first(change: Change) -> float | None:
    return change.comparison.first if change.comparison else None


def _second(change: Change) -> float | None:
    return change.comparison.second if change.comparison else None


def difference(change: Change) -> str:
    """``+1.06 [0.81, 1.30]``; empty where nothing was compared."""
    if change.comparison is None or change.comparison.difference.value is None:
        return ""
    value, low, high = change.comparison.difference.value, *change.comparison.difference[1:3]
    bounds = "" if low is None or high is None else f" [{_signed(low, change)}, {_signed(high, change)}]"
    return _signed(value, change) + bounds


def _signed(value: float, change: Change) -> str:
    text = number(value, change.metric)
    return text if text.startswith("-") or not any(sign in text for sign in "123456789∞") else f"+{text}"


def chance(change: Change) -> str:
    """``p 0.004``, never 0."""
    if change.p is None:
        return ""
    return "p <0.001" if change.p < 0.001 else f"p {change.p:.3f}"


def effect(change: Change) -> str:
    """``d +0.80, n 96`` and what could have been seen where nothing was."""
    if change.comparison is None:
        return ""
    found, size = change.comparison, change.comparison.effect.value
    parts = [f"d {size:+.2f}"] if size is not None else []
    parts.append(f"n {found.difference.n}")
    if not found.paired:
        parts.append("unpaired")
    if change.outcome == "same":
        parts.append(_detectable(change))
    return ", ".join(filter(None, parts))


def _detectable(change: Change) -> str:
    if change.detectable is None:
        return ""
    if math.isinf(change.detectable):
        return "too few clusters to show any"
    return f"would show from ±{number(change.detectable, change.metric)}"


def setting(found: RunComparison) -> Iterator[str]:
    """What differs around the figures: code, data, versions, settings."""
    if found.same_content is not None:
        same, known = found.same_content
        yield (
            f"{same} of {known} cells have the same content address before and after (code, data, weights, "
            "options): only the others could move"
        )
    for name, before, after in found.differences:
        yield f"{name}: {before or 'not recorded'} → {after or 'not recorded'}"
    if not found.differences:
        yield "versions, hardware, git state and settings are the same"


def called(place: Place, found: RunComparison) -> str:
    """A place's name, with its scenario where there are several."""
    return place.name + _scenario(place, found)


def listed(places: Sequence[Place], found: RunComparison) -> Iterator[str]:
    """``search ≤ 1 m × none, smoothing``: places that share all but the defense are named together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for place in places:
        groups.setdefault((str(place.row), _scenario(place, found)), []).append(place.defense)
    for (row, scenario), defenses in groups.items():
        yield f"{row} × {', '.join(dict.fromkeys(defenses))}{scenario}"


def notes(change: Change, found: RunComparison) -> list[str]:
    """What is to be said of this change alone."""
    return [note for note in change.notes if note not in found.common_notes]


def _scenario(place: Place, found: RunComparison) -> str:
    return f" on {place.dataset}, {place.victim}" if found.several_scenarios else ""
