"""The common figures of several seeds, from their per-example values."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, Figure, MetricRecord
from robeval.statistics.intervals import Column, intervals

P = TypeVar("P", bound=Hashable)
Figures = dict[tuple[str, str], Figure]
"""By metric and group ("": all examples)."""
_VALUES_AT_ONCE = 8_000_000


def pooled(
    folder: Path, cells: Sequence[CellRecord], metrics: Sequence[MetricRecord], groups: Sequence[str] = ("",)
) -> Figures:
    """`pooled_places` of a single place."""
    return pooled_places(folder, {"": cells}, metrics, groups)[""]


def pooled_places(
    folder: Path,
    places: Mapping[P, Sequence[CellRecord]],
    metrics: Sequence[MetricRecord],
    groups: Sequence[str] = ("",),
) -> dict[P, Figures]:
    """Common figures of all finished seeds at every place.

    An example under several seeds is one cluster: seeds tell more about the victim, not about the examples.
    A single seed's figures are those of its record. Places with the same examples share their resamples, which
    is what makes a thousand cells quick.
    """
    found: dict[P, Figures] = {}
    waiting = _Waiting()
    for place, cells in places.items():
        done = [cell for cell in cells if cell.status == "done"]
        if len(done) <= 1:
            found[place] = _recorded(done[0], groups) if done else {}
            continue
        found[place] = {}
        for metric, group, clusters, column in _columns(folder, done, metrics, groups):
            waiting.add(clusters, column, found[place], metric, group)
    waiting.settle()
    return found


class _Waiting:
    """Columns that wait for their figures, by their examples' clusters; settled before they grow too many."""

    def __init__(self) -> None:
        self._alike: dict[bytes, tuple[npt.NDArray[Any], list[Column]]] = {}
        self._goals: dict[bytes, list[tuple[Figures, MetricRecord, str]]] = {}
        self._values = 0

    def add(
        self,
        clusters: npt.NDArray[Any],
        column: Column,
        figures: Figures,
        metric: MetricRecord,
        group: str,
    ) -> None:
        """Let `figures` have the figure of a column, once settled."""
        key = clusters.tobytes()
        self._alike.setdefault(key, (clusters, []))[1].append(column)
        self._goals.setdefault(key, []).append((figures, metric, group))
        self._values += len(clusters)
        if self._values > _VALUES_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """One call of `intervals` for all columns over the same examples."""
        for key, (clusters, columns) in self._alike.items():
            settled = intervals({str(k): column for k, column in enumerate(columns)}, clusters)
            for (figures, metric, group), found in zip(self._goals[key], settled.values(), strict=True):
                figures[metric.name, group] = Figure(
                    **found._asdict(), unit=metric.unit, direction=metric.direction
                )
        self._alike, self._goals, self._values = {}, {}, 0


def _columns(
    folder: Path, done: Sequence[CellRecord], metrics: Sequence[MetricRecord], groups: Sequence[str]
) -> Iterator[tuple[MetricRecord, str, npt.NDArray[Any], Column]]:
    # A metric that a seed has no figure for has no column there either.
    shared = [m for m in metrics if all(m.name in cell.metrics for cell in done)]
    wanted = sorted({name for metric in shared for name in (metric.column, metric.per) if name})
    tables = [read_examples(folder, cell.id, wanted) for cell in done] if wanted else []
    for group in groups if tables else ():
        chosen = [(table["group"] == group) | (group == "") for table in tables]
        joined = {
            name: np.concatenate([table[name][here] for table, here in zip(tables, chosen, strict=True)])
            for name in ("cluster", *wanted)
        }
        for metric in shared:
            per = joined[metric.per] if metric.per else None
            column = Column(joined[metric.column], per, metric.kind == "proportion")
            yield metric, group, joined["cluster"], column


def _recorded(cell: CellRecord, groups: Sequence[str]) -> Figures:
    tables = {group: cell.groups.get(group, {}) if group else cell.metrics for group in groups}
    return {(name, group): figure for group, table in tables.items() for name, figure in table.items()}
