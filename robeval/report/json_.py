"""The report as JSON: the `Summary` document, strict JSON without NaN or Infinity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from robeval.report.summary import chosen_metrics, read_run
from robeval.results.records import CellRecord, Summary


def to_json(summary: Summary) -> str:
    """The public document of a summary."""
    # pydantic's own writer turns what JSON cannot say (an infinite mean) into null.
    content = json.loads(summary.model_dump_json(by_alias=True))
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_report(folder: Path, metrics: Sequence[str] | None = None) -> str:
    """The summary of a run folder, cut to the named metrics when there are any.

    Raises UsageError or StoreError when the run cannot be read.
    """
    summary = read_run(folder)
    if metrics:
        names = {metric.name for metric in chosen_metrics(summary, metrics)}
        summary = summary.model_copy(update={"cells": [_cut(cell, names) for cell in summary.cells]})
    return to_json(summary)


def _cut(cell: CellRecord, names: set[str]) -> CellRecord:
    kept = {name: figure for name, figure in cell.metrics.items() if name in names}
    groups = {
        group: {name: figure for name, figure in figures.items() if name in names}
        for group, figures in cell.groups.items()
    }
    return cell.model_copy(update={"metrics": kept, "groups": groups})
