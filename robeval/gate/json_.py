"""A verdict as JSON, for programs."""

from __future__ import annotations

import json
import math
from typing import Any

from robeval.gate.verdict import Finding, Verdict
from robeval.gate.words import headline, record_command
from robeval.results.places import shown

SCHEMA = 1


def json_verdict(verdict: Verdict) -> str:
    """One document; numbers that are not finite are null."""
    content = {
        "schema": SCHEMA,
        "exit_code": verdict.exit_code,
        "headline": headline(verdict),
        "counts": verdict.counts,
        "alpha": verdict.alpha,
        "baseline": str(verdict.baseline),
        "run": shown(verdict.folder),
        "seconds": round(verdict.seconds, 3),
        "record": record_command(verdict),
        "changes": [
            {"what": c.what, "recorded": c.before, "now": c.after, "blocks": c.blocks}
            for c in verdict.changes
        ],
        "new": list(verdict.new),
        "cells": [_finding(finding) for finding in verdict.findings],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finding(finding: Finding) -> dict[str, Any]:
    worse, power = finding.worse, finding.power
    return {
        "cell": finding.cell.name,
        "metric": finding.metric.name,
        "state": finding.state,
        "reason": finding.reason,
        "recorded": _finite(finding.recorded),
        "now": _finite(finding.now),
        "worse": None if worse is None else {k: _finite(getattr(worse, k)) for k in ("value", "low", "high")},
        "tolerated": _finite(finding.allowance),
        "p": finding.p,
        "n": finding.n,
        "smallest_detectable": None if power is None else _finite(power.smallest),
        "two_percent_drop_needs": None if power is None else power.needed,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
