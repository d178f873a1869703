"""The comparison of two runs as JSON: strict, without NaN or Infinity, versioned."""

from __future__ import annotations

import json
import math
from typing import Any

from robeval.report.compare_model import Change, Place, RunComparison
from robeval.report.matrix import Entry
from robeval.results.records import Summary
from robeval.statistics.intervals import Interval

SCHEMA = 1


def json_comparison(found: RunComparison) -> str:
    """The whole comparison. What JSON cannot say (an infinite figure) is null."""
    return json.dumps(_strict(document(found)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(found: RunComparison) -> dict[str, Any]:
    """The comparison as plain dictionaries and lists."""
    return {
        "schema": SCHEMA,
        "before": _run(found.before, found.names[0]),
        "after": _run(found.after, found.names[1]),
        "alpha": found.alpha,
        "family": found.family,
        "metrics": [metric.model_dump() for metric in found.metrics],
        "counts": found.counts(),
        "changes": [_change(change) for change in found.changes],
        "only_before": [_place(place) for place in found.only_before],
        "only_after": [_place(place) for place in found.only_after],
        "differences": [difference._asdict() for difference in found.differences],
        "same_content": None
        if found.same_content is None
        else dict(zip(("same", "of"), found.same_content, strict=True)),
        "caveats": list(found.caveats),
    }


def _run(summary: Summary, name: str) -> dict[str, Any]:
    run = summary.run
    return {
        "name": name,
        "command": run.command,
        "complete": run.complete,
        "started": run.started,
        "git": summary.environment.git,
        "robeval": summary.environment.robeval,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "dataset": place.dataset,
        "victim": place.victim,
        "attack": place.row.attack,
        "budget": None if place.row.certified else place.row.budget.model_dump(),
        "knowledge": place.row.knowledge,
        "certified": place.row.certified,
        "counter": place.row.counter,
        "defense": place.defense,
    }


def _change(change: Change) -> dict[str, Any]:
    found = change.comparison
    return {
        **_place(change.place),
        "metric": change.metric.name,
        "unit": change.metric.unit,
        "direction": change.metric.direction,
        "outcome": change.outcome,
        "before": _side(change.before, found.first if found else None),
        "after": _side(change.after, found.second if found else None),
        "difference": _interval(found.difference) if found else None,
        "effect": _interval(found.effect) if found else None,
        "p": found.p if found else None,
        "p_holm": change.p,
        "paired": found.paired if found else None,
        "clusters": found.clusters if found else None,
        "detectable": change.detectable,
        "notes": list(change.notes),
    }


def _side(side: Entry, value: float | None) -> dict[str, Any]:
    return {
        "value": value,
        "status": side.status,
        "verdict": side.verdict,
        "cells": [cell.id for cell in side.cells],
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return interval._asdict()


def _strict(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _strict(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_strict(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
