"""What a tracker is told: flat parameters, and numbers under names that every service accepts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robeval.engine.plan import Cell, Plan
from robeval.results.records import CellRecord

VERDICTS = {"ok": 0.0, "suspicious": 1.0, "invalid": 2.0}
_UNSAFE = re.compile(r"[^\w./ -]+")


def parameters(plan: Plan, command: str) -> dict[str, str]:
    """The experiment with everything filled in, flat: `execution/batch_size`, `attacks`, ..."""
    document = plan.experiment
    found = {
        name: ", ".join(str(spec) for spec in getattr(document, name))
        for name in ("datasets", "victims", "attacks", "defenses")
    }
    flat = _flat(document.model_dump(mode="json", exclude=set(found)))
    return found | flat | {"command": command, "cells": str(len(plan.cells))}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}/")
        else:
            found[f"{before}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found


def cell_labels(cells: Sequence[Cell]) -> dict[str, str]:
    """A name for every cell, by id: attack and defense, and whatever else tells the plan's cells apart."""
    several: dict[str, bool] = {}
    parts: dict[str, Callable[[Cell], str]] = {
        "victim": lambda cell: str(cell.victim),
        "dataset": lambda cell: str(cell.dataset),
        "seed": lambda cell: f"seed {cell.seed}",
    }
    for name, part in parts.items():
        several[name] = len({part(cell) for cell in cells}) > 1
    budgets: dict[str, set[float]] = defaultdict(set)
    for cell in cells:
        budgets[str(cell.attack)].add(cell.budget)
    labels = {}
    for cell in cells:
        attack = str(cell.attack)
        words = [attack, f"at {cell.budget:g}" if len(budgets[attack]) > 1 else ""]
        words += [cell.knowledge if cell.knowledge != "adaptive" else "", cell.counter]
        label = [" ".join(word for word in words if word), str(cell.defense)]
        label += [part(cell) for name, part in parts.items() if several[name]]
        labels[cell.id] = "/".join(_UNSAFE.sub("_", word.replace("/", "_")) for word in label)
    return labels


def values(record: CellRecord) -> dict[str, float]:
    """A cell's numbers: figures with their intervals, cost, and whether they can be believed.

    `verdict` is 0 (ok), 1 (suspicious) or 2 (invalid); a cell without figures has `failed` only.
    """
    if record.status != "done":
        return {"failed": 1.0} if record.status == "failed" else {}
    found: dict[str, float | None] = {}
    for name, figure in record.metrics.items():
        safe = _UNSAFE.sub("_", name)
        found |= {safe: figure.value, f"{safe}.low": figure.low, f"{safe}.high": figure.high}
    found |= {f"cost.{name}": value for name, value in record.cost.model_dump().items()}
    found |= {"n": record.n, "invalid": record.invalid, "verdict": VERDICTS[record.verdict]}
    return {name: float(value) for name, value in found.items() if value is not None}


def row(record: CellRecord) -> dict[str, Any]:
    """The parts of a cell as columns of a table."""
    return {
        "cell": record.id,
        "dataset": record.dataset,
        "victim": record.victim,
        "attack": record.attack,
        "defense": record.defense,
        "knowledge": record.knowledge,
        "counter": record.counter,
        "budget": record.budget.value,
        "seed": record.seed,
        "status": record.status,
        "believed": record.verdict,
    }
