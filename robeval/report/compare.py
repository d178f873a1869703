"""Two runs side by side: which cells differ, by how much, how sure that is, and what else changed.

`compare_changes` tests what was matched here, `compare_model` is what every face shows; `compare_terminal`,
`compare_markdown` and `compare_json` are the faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robeval.errors import UsageError
from robeval.report.compare_changes import Pair, changes_of, quotable
from robeval.report.compare_examples import Matched, matched
from robeval.report.compare_model import Place, RunComparison
from robeval.report.compare_setting import content_keys, differences
from robeval.report.matrix import Entry
from robeval.report.summary import chosen_metrics, metrics_of, read_run
from robeval.results.audit import read_audit
from robeval.results.records import CellRecord, MetricRecord, Summary


def compare_runs(
    before: Path, after: Path, metrics: Sequence[str] | None = None, *, alpha: float = 0.05
) -> RunComparison:
    """Match the cells of two run folders and test every pair; the headline metric unless some are named.

    Raises UsageError when nothing can be compared (other domains, no shared cell, an unknown metric) and
    StoreError for records that cannot be read.
    """
    first, second = read_run(before), read_run(after)
    sides = (_by_place(first), _by_place(second))
    shared = [place for place in sides[1] if place in sides[0]]
    names = _names(before, after)
    _refuse_strangers(first, second, shared, names)
    chosen = _shared_metrics(first, second, metrics)
    found = [
        _matched_change(before, after, place, metric, sides[0][place], sides[1][place])
        for place in shared
        for metric in chosen
        if not _impossible([*sides[0][place], *sides[1][place]], metric)
    ]
    asked = read_audit(before) is not None, read_audit(after) is not None
    return RunComparison(
        before=first,
        after=second,
        names=names,
        metrics=tuple(chosen),
        alpha=alpha,
        family=sum(isinstance(pair.found, Matched) for pair in found),
        changes=tuple(changes_of(found, alpha, asked)),
        only_before=tuple(place for place in sides[0] if place not in sides[1]),
        only_after=tuple(place for place in sides[1] if place not in sides[0]),
        differences=tuple(differences(first.run, second.run)),
        same_content=_same_content(before, after, shared, *sides),
        caveats=tuple(_caveats(first, second, found, asked)),
    )


def _by_place(summary: Summary) -> dict[Place, list[CellRecord]]:
    found: dict[Place, list[CellRecord]] = {}
    for cell in summary.cells:
        found.setdefault(Place.of(cell), []).append(cell)
    return found


def _names(before: Path, after: Path) -> tuple[str, str]:
    """The runs' names; their paths where the names are the same."""
    names = before.resolve().name, after.resolve().name
    return names if names[0] != names[1] else (str(before), str(after))


def _refuse_strangers(
    first: Summary, second: Summary, shared: Sequence[Place], names: tuple[str, str]
) -> None:
    domains = [sorted({cell.domain for cell in summary.cells}) for summary in (first, second)]
    for name, domain in zip(names, domains, strict=True):
        if not domain:
            raise UsageError(
                f"{name} has no finished cell yet. Finish it first, with the command it was made with."
            )
    if domains[0] != domains[1]:
        said = [f"{name} is of {', '.join(found)}" for name, found in zip(names, domains, strict=True)]
        raise UsageError(f"{' and '.join(said)}: only runs of one domain can be compared.")
    if not shared:
        said = [
            f"{name} has " + ", ".join(sorted({f"{c.dataset} with {c.victim}" for c in summary.cells}))
            for name, summary in zip(names, (first, second), strict=True)
        ]
        raise UsageError(
            f"no cell stands in both runs: {'; '.join(said)}.\nCells match by dataset, victim, attack with its "
            "options and budget, knowledge and defense. See what a run holds: robeval report RUN"
        )


def _shared_metrics(first: Summary, second: Summary, names: Sequence[str] | None) -> list[MetricRecord]:
    """The chosen metrics that both runs define alike; with "all", those that are in both."""
    before = {metric.name: metric for metric in metrics_of(first)}
    found = []
    for metric in chosen_metrics(second, names):
        if metric.name in before and _meaning(before[metric.name]) == _meaning(metric):
            found.append(metric)
        elif not names or "all" not in names:
            chosen_metrics(first, [metric.name])  # raises, with the nearest names, where there is none
            raise UsageError(
                f"the runs define the metric '{metric.name}' differently: {_meaning(before[metric.name])} and "
                f"{_meaning(metric)}. Run one of them again, or choose another --metric."
            )
    if not found:
        raise UsageError(
            f"the runs share no metric. Before: {', '.join(before)}. "
            f"After: {', '.join(metric.name for metric in metrics_of(second))}."
        )
    return found


def _other_metrics(first: Summary, second: Summary) -> list[str]:
    """Names of metrics that only one run has, or that mean something else there."""
    sides = [{metric.name: _meaning(metric) for metric in metrics_of(summary)} for summary in (first, second)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    return [name for name in names if sides[0].get(name) != sides[1].get(name)]


def _meaning(metric: MetricRecord) -> tuple[str | None, ...]:
    return metric.unit, metric.direction, metric.kind, metric.column, metric.per


def _matched_change(
    before: Path,
    after: Path,
    place: Place,
    metric: MetricRecord,
    first: list[CellRecord],
    second: list[CellRecord],
) -> Pair:
    sides = Entry(tuple(first), None), Entry(tuple(second), None)
    without = [name for name, side in zip(("before", "after"), sides, strict=True) if not quotable(side)]
    if without:
        return Pair(place, metric, *sides, f"no figure that can be quoted {' and '.join(without)}")
    return Pair(place, metric, *sides, matched(before, sides[0].done, after, sides[1].done, metric))


def _impossible(cells: Sequence[CellRecord], metric: MetricRecord) -> bool:
    """Whether neither run could have this figure there: n/a everywhere, or done without it everywhere."""
    if all(cell.status == "n/a" for cell in cells):
        return True
    return all(cell.status == "done" and metric.name not in cell.metrics for cell in cells)


def _same_content(
    before: Path,
    after: Path,
    shared: Sequence[Place],
    first: dict[Place, list[CellRecord]],
    second: dict[Place, list[CellRecord]],
) -> tuple[int, int] | None:
    keys = content_keys(before), content_keys(after)
    same = known = 0
    for place in shared:
        mine = {cell.seed: keys[0].get(cell.id) for cell in first[place] if cell.status == "done"}
        for cell in second[place]:
            pair = mine.get(cell.seed), keys[1].get(cell.id)
            if cell.status == "done" and None not in pair:
                known += 1
                same += pair[0] == pair[1]
    return (same, known) if known else None


def _caveats(first: Summary, second: Summary, pairs: Sequence[Pair], asked: tuple[bool, bool]) -> list[str]:
    found = []
    if asked[0] != asked[1]:
        found.append(
            f"only the run {'before' if asked[0] else 'after'} was audited: the other one's marks come from the "
            "checks that are always on"
        )
    for said, summary in (("before", first), ("after", second)):
        if not summary.run.complete:
            found.append(
                f"the run {said} is not finished: {len(summary.cells)} of {len(summary.run.cells)} cells"
            )
    other = _other_metrics(first, second)
    if other:
        found.append(f"not the same metric in both runs, left out: {', '.join(other)}")
    seeds = [{cell.seed for pair in pairs for cell in side(pair).done} for side in (_before, _after)]
    if seeds[0] == seeds[1] and len(seeds[0]) == 1:
        found.append(
            "one seed: intervals and p-values speak of the examples; where a victim was trained anew, "
            "how much another training would differ is not in them (--seeds 3)"
        )
    return found


def _before(pair: Pair) -> Entry:
    return pair.before


def _after(pair: Pair) -> Entry:
    return pair.after
