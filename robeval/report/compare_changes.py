"""From matched cells to changes: how much a figure moved, how sure that is, and what the change comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robeval.report.compare_examples import Matched
from robeval.report.compare_model import OUTCOMES, Change, Outcome, Place
from robeval.report.matrix import Entry
from robeval.results.records import MetricRecord
from robeval.statistics.comparisons import Comparison, paired_comparisons, unpaired_comparison
from robeval.statistics.holm import holm
from robeval.statistics.intervals import Column
from robeval.statistics.permutations import enough_shuffles


@dataclass(frozen=True)
class Pair:
    """One metric of one cell in both runs, before it is tested."""

    place: Place
    metric: MetricRecord
    before: Entry
    after: Entry
    found: Matched | str
    """The examples, or why there are none."""


def changes_of(pairs: Sequence[Pair], alpha: float, asked: tuple[bool, bool]) -> list[Change]:
    """All pairs, each with its comparison and its p-value corrected over all of them, sorted by what matters.

    `asked` says which run has been audited.
    """
    jobs = {k: pair.found for k, pair in enumerate(pairs) if isinstance(pair.found, Matched)}
    compared = _compared(jobs)
    corrected = dict(zip(compared, holm([c.p for c in compared.values()]), strict=True))
    found = [
        _change(pair, compared.get(k), corrected.get(k), alpha, len(jobs), asked)
        for k, pair in enumerate(pairs)
    ]
    return _sorted(found)


def _compared(jobs: dict[int, Matched]) -> dict[int, Comparison]:
    """Cells over the same clusters share their resamples."""
    shuffles = enough_shuffles(len(jobs))
    found: dict[int, Comparison] = {}
    alike: dict[bytes, list[int]] = {}
    for k, job in jobs.items():
        if job.paired:
            alike.setdefault("\n".join(job.first_clusters).encode(), []).append(k)
        else:
            found[k] = unpaired_comparison(
                job.first, job.first_clusters, job.second, job.second_clusters, shuffles=shuffles
            )
    for keys in alike.values():
        pairs: dict[int, tuple[Column, Column]] = {k: (jobs[k].first, jobs[k].second) for k in keys}
        found |= paired_comparisons(pairs, jobs[keys[0]].first_clusters, shuffles=shuffles)
    return found


def _change(
    pair: Pair,
    comparison: Comparison | None,
    p: float | None,
    alpha: float,
    family: int,
    asked: tuple[bool, bool],
) -> Change:
    notes = [] if isinstance(pair.found, Matched) else [pair.found]
    if isinstance(pair.found, Matched):
        notes += pair.found.notes
    unasked = pair.before.verdict == "suspicious" and pair.after.verdict == "ok" and asked == (True, False)
    if unasked:
        notes.append("suspicious before; the run after was not audited: robeval audit RUN")
    elif pair.before.verdict == "suspicious" and pair.after.verdict == "ok":
        notes.append("the figure before was suspicious and may have flattered the defense")
    radii = [sorted({cell.budget.value for cell in side.done}) for side in (pair.before, pair.after)]
    if radii[0] != radii[1] and all(radii):
        notes.append(f"proven for another radius: {radii[0]} before, {radii[1]} after")
    return Change(
        place=pair.place,
        metric=pair.metric,
        before=pair.before,
        after=pair.after,
        comparison=comparison,
        p=p,
        outcome=_outcome(pair, comparison, p is not None and p <= alpha, doubtful=unasked),
        detectable=comparison.detectable(alpha=alpha / family) if comparison and family else None,
        notes=tuple(notes),
    )


def _outcome(pair: Pair, comparison: Comparison | None, significant: bool, *, doubtful: bool) -> Outcome:
    had, has = quotable(pair.before), quotable(pair.after)
    if not (had and has):
        return "lost" if had else "found" if has else "untested"
    if comparison is None or comparison.difference.value is None:
        return "untested"
    rose = comparison.difference.value > 0
    worse = rose == (pair.metric.direction == "lower")
    if significant and worse:
        return "worse"
    newly = pair.after.verdict == "suspicious" and pair.before.verdict == "ok"
    if newly or (significant and (doubtful or pair.after.verdict == "suspicious")):
        return "doubtful"
    if comparison.p is None:
        return "untested"
    if comparison.paired and comparison.difference.value == 0 and comparison.spread == 0:
        return "identical"
    return "better" if significant else "same"


def quotable(side: Entry) -> bool:
    """Whether there is a figure there that may be quoted."""
    return side.status == "done" and side.verdict != "invalid"


def _sorted(changes: Sequence[Change]) -> list[Change]:
    order = list(OUTCOMES)

    def rank(change: Change) -> tuple[int, float, float]:
        size = change.comparison.effect.value if change.comparison else None
        return order.index(change.outcome), 2.0 if change.p is None else change.p, -abs(size or 0.0)

    return sorted(changes, key=rank)
