"""The report as JSON: the `Summary` document, strict JSON without NaN or Infinity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robeval.report.curves import Curve, curves_of
from robeval.report.curves_text import meaning
from robeval.report.gap import Gap, by_metric, gaps_of
from robeval.report.matrix import families, matrices, ordered_rows
from robeval.report.summary import chosen_metrics, read_run
from robeval.results.records import CellRecord, CrossingRecord, CurveRecord, GapRecord, PointRecord, Summary


def to_json(summary: Summary) -> str:
    """The public document of a summary."""
    # pydantic's own writer turns what JSON cannot say (an infinite mean) into null.
    content = json.loads(summary.model_dump_json(by_alias=True))
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_report(
    folder: Path, metrics: Sequence[str] | None = None, *, thresholds: Mapping[str, float] | None = None
) -> str:
    """The summary of a run folder, cut to the named metrics when there are any, with its curves and gaps.

    Raises UsageError or StoreError when the run cannot be read.
    """
    summary = read_run(folder)
    tables = matrices(summary, folder, chosen_metrics(summary, metrics)) if _has_more(summary) else []
    limits = thresholds or {}
    found: dict[str, Any] = {
        "curves": [
            _curve(curve)
            for matrix in tables
            for curve in curves_of(matrix, folder, limits.get(matrix.metric.name))
        ],
        "gaps": [_gap(gap) for same in by_metric(tables) for gap in gaps_of(same, folder, by_budget=True)],
    }
    if metrics:
        names = {metric.name for metric in chosen_metrics(summary, metrics)}
        found["cells"] = [_cut(cell, names) for cell in summary.cells]
    return to_json(summary.model_copy(update=found))


def _has_more(summary: Summary) -> bool:
    """Whether there is more than cells, so that per-example tables are needed."""
    rows = ordered_rows(summary.cells)
    return any(len(same) > 1 for same in families(rows).values()) or any(
        row.knowledge == "oblivious" for row in rows
    )


def _curve(curve: Curve) -> CurveRecord:
    threshold, crossing = curve.threshold, curve.crossing
    reached = None
    if threshold is not None and crossing is not None:
        reached = CrossingRecord(
            threshold=threshold.value,
            origin=threshold.origin,
            value=crossing.value,
            low=crossing.low,
            high=crossing.high,
        )
    return CurveRecord(
        dataset=curve.dataset,
        victim=curve.victim,
        attack=curve.attack,
        defense=curve.defense,
        knowledge="oblivious" if curve.knowledge == "oblivious" else "adaptive",
        counter=curve.counter,
        metric=curve.metric.name,
        budget_name=curve.budget_name,
        budget_unit=curve.unit,
        points=[PointRecord(**asdict(point)) for point in curve.points],
        area=curve.area,
        crossing=reached,
        verdict=curve.verdict,
    )


def _gap(gap: Gap) -> GapRecord:
    found = gap.comparison
    return GapRecord(
        dataset=gap.matrix.dataset,
        victim=gap.matrix.victim,
        attack=gap.row.attack,
        defense=gap.defense,
        counter=gap.row.counter,
        metric=gap.matrix.metric.name,
        budget=gap.row.budget,
        oblivious=found.first,
        adaptive=found.second,
        difference=found.difference.value,
        low=found.difference.low,
        high=found.difference.high,
        n=found.difference.n,
        p=gap.p,
        outcome=gap.outcome,
        meaning=meaning(gap),
        verdict=gap.verdict,
    )


def _cut(cell: CellRecord, names: set[str]) -> CellRecord:
    kept = {name: figure for name, figure in cell.metrics.items() if name in names}
    groups = {
        group: {name: figure for name, figure in figures.items() if name in names}
        for group, figures in cell.groups.items()
    }
    return cell.model_copy(update={"metrics": kept, "groups": groups})
