"""A run folder written by hand: every state that a cell can be in, in a matrix of the usual size."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

EXAMPLES = 96
ATTACKS = {  # attack: growth of the error, forward and backward rows per example, access
    "none": (0.0, 0, 0, "none"),
    "noise": (0.2, 0, 0, "none"),
    "search:restarts=4,iterations=50": (3.6, 202, 200, "white-box"),
    "search-plus:restarts=4,iterations=50": (5.1, 203, 200, "white-box"),
    "pso": (3.9, 1010, 0, "score"),
    "sa-attack:restarts=4,iterations=50": (2.4, 151, 150, "white-box"),
}
DEFENSES = {  # defense: share of the attack's growth that is left, cost to the clean error
    "none": (1.0, 0.0),
    "smoothing": (0.6, 0.1),
    "augmentation": (0.8, 0.05),
    "adversarial-training": (0.3, 0.15),
    "randomised-smoothing": (0.5, 0.25),
}
METRICS = [
    {
        "name": "ade",
        "unit": "m",
        "direction": "lower",
        "meaning": "mean distance between the most likely path and the truth",
    },
    {
        "name": "success",
        "unit": "",
        "direction": "lower",
        "meaning": "attacks that raise the ADE by 1 m",
        "kind": "proportion",
    },
    {
        "name": "ade_ratio",
        "unit": "×",
        "direction": "lower",
        "meaning": "ADE over clean ADE",
        "column": "ade_moving",
        "per": "clean_ade_moving",
    },
]
for _metric in METRICS:
    _metric.setdefault("column", _metric["name"])
    _metric.setdefault("kind", "mean")

COMMAND = (
    "robeval run trajectory -a none -a noise -a search:restarts=4,iterations=50 -a search-plus:restarts=4,"
    "iterations=50 -a pso -a sa-attack:restarts=4,iterations=50 -d none -d smoothing -d augmentation "
    "-d adversarial-training -d randomised-smoothing --seeds 2 --max-examples 96"
)


def examples(attack: str, defense: str, seed: int) -> dict[str, list[Any]]:
    """The per-example table of a cell."""
    growth, *_ = ATTACKS.get(attack, (2.0, 0, 0, ""))
    left, price = DEFENSES[defense]
    rng = np.random.default_rng(zlib.crc32(f"{attack}{defense}{seed}".encode()))
    clean = np.random.default_rng(7).gamma(3.0, 0.25, EXAMPLES) + price
    error = clean + growth * left * rng.gamma(6.0, 1 / 6, EXAMPLES)
    moving = np.arange(EXAMPLES) % 8 != 0
    return {
        "example": [f"synthetic-{k:04d}" for k in range(EXAMPLES)],
        "cluster": [f"scene-{k // 2:03d}" for k in range(EXAMPLES)],
        "group": [("low", "medium", "high")[k % 3] for k in range(EXAMPLES)],
        "status": ["invalid" if k < 3 and attack == "pso" else "ok" for k in range(EXAMPLES)],
        "note": ["not_converged" if k % 9 == 0 and attack.startswith("sa") else "" for k in range(EXAMPLES)],
        "ade": error.tolist(),
        "success": (error - clean >= 1).astype(float).tolist(),
        "ade_moving": np.where(moving, error, np.nan).tolist(),
        "clean_ade_moving": np.where(moving, clean, np.nan).tolist(),
        "spent.deviation": [0.0 if attack == "none" else 1.0] * EXAMPLES,
    }


def figures(
    table: dict[str, list[Any]], only: str | None = None, metrics: list[dict[str, Any]] = METRICS
) -> dict[str, Any]:
    """Every metric of a table, over one group of its examples or all; intervals by normal theory."""
    here = np.array([only is None or group == only for group in table["group"]])
    found = {}
    for metric in metrics:
        values = np.asarray(table[metric["column"]])[here]
        per = np.asarray(table[metric["per"]])[here] if metric.get("per") else np.ones_like(values)
        known = ~np.isnan(values)
        value = values[known].mean() / per[known].mean()
        reach = 1.96 * (values[known] - value * per[known]).std() / known.sum() ** 0.5 / per[known].mean()
        found[metric["name"]] = {
            "value": value,
            "low": value - reach,
            "high": value + reach,
            "unit": metric["unit"],
            "direction": metric["direction"],
            "n": int(known.sum()),
        }
    return found


def cell(folder: Path, attack: str, defense: str, seed: int, **changes: Any) -> str:
    """Write one cell's record and table; `changes` replace fields of the record."""
    _growth, forward, backward, access = ATTACKS.get(attack, (0.0, 0, 0, "none"))
    budget = (
        {"name": "nothing", "unit": "", "value": 0.0}
        if attack == "none"
        else {"name": "deviation", "unit": "m", "value": 1.0}
    )
    number = len(list((folder / "cells").glob("*.json")))
    record: dict[str, Any] = {
        "id": f"{number:012x}",
        "domain": "trajectory",
        "dataset": "synthetic",
        "victim": "lstm",
        "attack": attack,
        "defense": defense,
        "knowledge": "adaptive",
        "budget": budget,
        "seed": seed,
        "n": EXAMPLES,
        "invalid": 3 if attack == "pso" else 0,
        "status": "done",
        "metrics": {},
        "groups": {},
        "notes": {},
        "verdict": "ok",
        "evidence": [],
        "certified": False,
        "error": None,
        "cost": {"forward": forward, "backward": backward, "queries": forward, "seconds": forward / 100},
        "threat": "nothing is perturbed"
        if attack == "none"
        else f"{access}; deviation ≤ 1 m, kinematics; untargeted: raise the victim's error",
    }
    record |= changes
    if record["status"] == "done" and "metrics" not in changes:
        table = examples(attack, defense, seed)
        record["metrics"] = figures(table)
        record["groups"] = {name: figures(table, name) for name in ("high", "low", "medium")}
        notes = table["note"].count("not_converged")
        record["notes"] = {"not_converged": notes} if notes else {}
        pq.write_table(pa.table(table), folder / "examples" / f"{record['id']}.parquet")
    (folder / "cells" / f"{record['id']}.json").write_text(json.dumps(record))
    return str(record["id"])


def write_run(folder: Path, seeds: int = 2) -> Path:
    """The whole run: 6 attacks, an oblivious row and a certificate against 5 defenses."""
    for name in ("cells", "examples", "artifacts"):
        (folder / name).mkdir(parents=True)
    places = [(attack, defense, seed) for attack in ATTACKS for defense in DEFENSES for seed in range(seeds)]
    ids = [
        cell(folder, attack, defense, seed, **_state(attack, defense, seed))
        for attack, defense, seed in places
    ]
    for defense in DEFENSES:
        for seed in range(seeds):
            search = "search:restarts=4,iterations=50"
            ids.append(cell(folder, search, defense, seed, knowledge="oblivious"))
            ids.append(cell(folder, "certificate", defense, seed, **_certificate(defense)))
    ids.append("f" * 12)  # planned, not finished
    environment = {
        "robeval": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux-x86_64",
        "packages": {"torch": "2.13.0", "numpy": "1.26.4"},
        "device": "cpu",
        "threads": 2,
        "git": "0123abc",
    }
    run = {
        "schema": 1,
        "name": folder.name,
        "command": COMMAND,
        "experiment": {"domain": "trajectory", "seeds": seeds},
        "environment": environment,
        "metrics": METRICS,
        "cells": ids,
        "started": "2026-11-21T09:00:00+00:00",
        "finished": None,
        "seconds": 71.2,
        "complete": False,
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def _state(attack: str, defense: str, seed: int) -> dict[str, Any]:
    def found(check: str, severity: str, message: str) -> dict[str, Any]:
        return {"verdict": severity, "evidence": [{"check": check, "severity": severity, "message": message}]}

    if attack.startswith("search:") and defense == "smoothing":
        message = (
            f"the gradient was zero for {90 + seed} of 96 examples: the defense may only hide its gradient"
        )
        return found("gradients", "suspicious", message)
    if attack.startswith("search-plus:") and defense == "adversarial-training":
        return found("finite-outputs", "invalid", "the victim answered NaN for 7 of 96 examples")
    if attack == "pso" and defense == "randomised-smoothing":
        error = "RuntimeError: shape mismatch: 12 and 10 steps (at swarm.py:77)"
        return {"status": "failed", "verdict": "invalid", "error": error, "n": 0, "invalid": 0}
    if attack.startswith("sa-attack") and defense == "augmentation" and seed == 1:
        error = "MemoryError: 9.1 GB asked for (at pursuit.py:12)"
        return {"status": "failed", "verdict": "invalid", "error": error, "n": 0, "invalid": 0}
    if attack == "noise" and defense == "adversarial-training":
        reason = "'adversarial-training' trains its victim, and 'lstm' has nothing to train"
        return {"status": "n/a", "error": reason, "n": 0}
    return {}


def _certificate(defense: str) -> dict[str, Any]:
    common = {"certified": True, "invalid": 0}
    if defense == "randomised-smoothing":
        budget = {"name": "l2 of the history", "unit": "m", "value": 0.1}
        return common | {"budget": budget, "threat": "proven for every input with l2 of the history ≤ 0.1 m"}
    budget = {"name": "radius", "unit": "", "value": 0.0}
    reason = f"'{defense}' proves no bound"
    return common | {"status": "n/a", "error": reason, "n": 0, "budget": budget, "threat": ""}
