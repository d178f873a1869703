"""Bringing the examples of the same cell in two runs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robeval.errors import StoreError
from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, MetricRecord
from robeval.statistics.intervals import Column

_ENOUGH_SHARED = 0.5
"""With a smaller share of the smaller side, pairing would throw away more than it gains."""


@dataclass(frozen=True)
class Matched:
    """One metric's values on both sides; when `paired`, entry i of both is the same example."""

    first: Column
    second: Column
    first_clusters: tuple[str, ...]
    second_clusters: tuple[str, ...]
    paired: bool
    notes: tuple[str, ...]


def matched(
    before: Path,
    first: Sequence[CellRecord],
    after: Path,
    second: Sequence[CellRecord],
    metric: MetricRecord,
) -> Matched | str:
    """The examples of one cell (its finished seeds) in two run folders, or why they cannot be had.

    Examples are the same when id and seed are; where no seed is in both runs, each example is averaged over
    its run's seeds. An example under several seeds is one cluster.
    """
    if not all(metric.name in cell.metrics for cell in (*first, *second)):
        return f"{metric.name} has no figure on both sides"
    notes = []
    seeds = {cell.seed for cell in first} & {cell.seed for cell in second}
    if seeds:
        left_out = sorted({cell.seed for cell in (*first, *second)} - seeds)
        first = [cell for cell in first if cell.seed in seeds]
        second = [cell for cell in second if cell.seed in seeds]
        if left_out:
            notes.append(f"only the shared seeds ({_listed(sorted(seeds))}; left out: {_listed(left_out)})")
    else:
        notes.append("no shared seed: examples are averaged over each run's seeds")
    try:
        a, b = (
            _table(folder, cells, metric, by_seed=bool(seeds))
            for folder, cells in ((before, first), (after, second))
        )
    except StoreError as error:
        return str(error)
    if not (a.are_unique and b.are_unique):
        return _unpaired(a, b, metric, [*notes, "example ids are not unique: compared as different examples"])
    _, rows, others = np.intersect1d(a.ids, b.ids, assume_unique=True, return_indices=True)
    fewer, more = sorted((len(a.ids), len(b.ids)))
    if len(rows) == 0 or len(rows) < _ENOUGH_SHARED * fewer:
        said = "no example is" if len(rows) == 0 else f"only {len(rows)} of {fewer} examples are"
        return _unpaired(a, b, metric, [*notes, f"{said} in both runs: compared as different examples"])
    if len(rows) < more:
        notes.append(f"over the {len(rows)} examples in both runs ({len(a.ids)} before, {len(b.ids)} after)")
    a, b = a.chosen(rows), b.chosen(others)
    clusters = tuple(a.clusters.tolist())
    return Matched(a.column(metric), b.column(metric), clusters, clusters, True, tuple(notes))


def _unpaired(a: _Table, b: _Table, metric: MetricRecord, notes: Sequence[str]) -> Matched:
    return Matched(
        a.column(metric),
        b.column(metric),
        tuple(a.clusters.tolist()),
        tuple(b.clusters.tolist()),
        False,
        tuple(notes),
    )


@dataclass(frozen=True)
class _Table:
    ids: np.ndarray
    clusters: np.ndarray
    values: np.ndarray
    per: np.ndarray

    @property
    def are_unique(self) -> bool:
        return len(np.unique(self.ids)) == len(self.ids)

    def chosen(self, rows: np.ndarray) -> _Table:
        return _Table(self.ids[rows], self.clusters[rows], self.values[rows], self.per[rows])

    def column(self, metric: MetricRecord) -> Column:
        return Column(self.values, self.per if metric.per else None, metric.kind == "proportion")


def _table(folder: Path, cells: Sequence[CellRecord], metric: MetricRecord, *, by_seed: bool) -> _Table:
    wanted = [metric.column, *([metric.per] if metric.per else [])]
    parts = []
    for cell in cells:
        table = read_examples(folder, cell.id, wanted, texts=("example", "cluster"))
        ids = np.array([f"{cell.seed} {name}" for name in table["example"]]) if by_seed else table["example"]
        parts.append(_Table(ids, table["cluster"], table[wanted[0]], table[wanted[-1]]))
    if not by_seed and len(parts) > 1:
        return _averaged(parts)
    return _Table(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.clusters for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.per for part in parts]),
    )


def _averaged(parts: Sequence[_Table]) -> _Table:
    """Every example once, its values averaged over the seeds in which they apply."""
    ids, place = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    clusters = np.empty(len(ids), dtype=object)
    clusters[place] = np.concatenate([part.clusters for part in parts])
    both = np.stack([np.concatenate([p.values for p in parts]), np.concatenate([p.per for p in parts])])
    known = ~np.isnan(both).any(axis=0)
    count = np.bincount(place[known], minlength=len(ids))
    with np.errstate(invalid="ignore"):
        values, per = (np.bincount(place[known], row[known], minlength=len(ids)) / count for row in both)
    return _Table(ids, clusters.astype(str), values, per)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
