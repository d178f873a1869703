"""A run folder with several budgets, both knowledges, counter-measures and a worst-of row."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.report import synthetic_run as plain

BUDGETS = (0.25, 0.5, 1.0)
DEFENSES = {
    "none": (1.0, 1.0),
    "smoothing": (0.9, 0.3),
    "median": (0.7, 0.7),
    "squeeze": (0.5, 0.35),
    "decoy": (0.2, 0.6),
}
"""Share of the attack's growth that is left against an adaptive and an oblivious attacker."""
ATTACKS = {
    "search:restarts=4,iterations=50": (3.0, 202, 200, "white-box"),
    "pso": (4.0, 1010, 0, "score"),
    "feeble": (0.0, 1, 1, "white-box"),
}
WORST = "worst-of:access=white-box"
METRICS = [
    *plain.METRICS,
    {
        "name": "accuracy",
        "unit": "",
        "direction": "higher",
        "meaning": "paths that end near the truth",
        "kind": "proportion",
        "column": "accuracy",
    },
]
COMMAND = (
    "robeval run trajectory -a search:restarts=4,iterations=50 -a pso -a feeble -d none -d smoothing -d median "
    "-d squeeze -d decoy "
    "--budget 0.25,0.5,1 --worst-of --knowledge both"
)


def table(attack: str, defense: str, knowledge: str, budget: float, seed: int) -> dict[str, list[Any]]:
    """The per-example table: the error grows with the square root of the budget."""
    growth = max(ATTACKS[name][0] for name in ATTACKS) if attack == WORST else ATTACKS.get(attack, (0.0,))[0]
    left = DEFENSES[defense][knowledge == "oblivious"]
    known = knowledge if defense != "none" else ""
    rng = np.random.default_rng(zlib.crc32(f"{attack}{defense}{known}{budget:g}{seed}".encode()))
    clean = np.random.default_rng(7).gamma(3.0, 0.25, plain.EXAMPLES)
    error = clean + growth * left * budget**0.5 * rng.gamma(6.0, 1 / 6, plain.EXAMPLES)
    moving = np.arange(plain.EXAMPLES) % 8 != 0
    made = plain.examples("none", "none", seed)
    return made | {
        "ade": error.tolist(),
        "success": (error - clean >= 1).astype(float).tolist(),
        "accuracy": (error < 1.5).astype(float).tolist(),
        "ade_moving": np.where(moving, error, np.nan).tolist(),
        "clean_ade_moving": np.where(moving, clean, np.nan).tolist(),
        "spent.deviation": [budget] * plain.EXAMPLES,
    }


def _cell(
    folder: Path, attack: str, defense: str, budget: float, knowledge: str = "adaptive", **changes: Any
) -> str:
    number, seed = len(list((folder / "cells").glob("*.json"))), changes.get("seed", 0)
    _, forward, backward, access = ATTACKS.get(attack, (0.0, 1213, 201, "white-box"))
    rows = table(attack, defense, knowledge, budget, seed)
    spends = attack != "none"
    record: dict[str, Any] = {
        "id": f"{number:012x}",
        "domain": "trajectory",
        "dataset": "synthetic",
        "victim": "lstm",
        "attack": attack,
        "defense": defense,
        "knowledge": knowledge,
        "budget": {"name": "deviation", "unit": "m", "value": budget}
        if spends
        else {"name": "nothing", "unit": "", "value": 0.0},
        "seed": seed,
        "n": plain.EXAMPLES,
        "invalid": 0,
        "status": "done",
        "metrics": plain.figures(rows, metrics=METRICS),
        "verdict": "ok",
        "evidence": [],
        "cost": {
            "forward": forward * spends,
            "backward": backward * spends,
            "queries": forward * spends,
            "seconds": forward / 100 * spends,
            "overhead": 1.25 if spends and attack != WORST else None,
            "prepared_queries": 5000 if attack == "pso" else 0,
            "prepared_seconds": 2.5 if attack == "pso" else 0,
        },
        "threat": f"{access}; deviation ≤ {budget:g} m, kinematics; untargeted: raise the victim's error"
        if spends
        else "nothing is perturbed",
    } | changes
    pq.write_table(pa.table(rows), folder / "examples" / f"{record['id']}.parquet")
    (folder / "cells" / f"{record['id']}.json").write_text(json.dumps(record))
    return str(record["id"])


def write_swept_run(folder: Path, seeds: int = 1) -> Path:
    """3 attacks and their worst-of at 3 budgets, known and unknown, against 5 defenses."""
    for name in ("cells", "examples", "artifacts"):
        (folder / name).mkdir(parents=True)
    ids = []
    for defense in DEFENSES:
        for seed in range(seeds):
            ids.append(_cell(folder, "none", defense, 0.0, seed=seed))
            for budget in BUDGETS:
                for knowledge in ("adaptive", "oblivious"):
                    for attack in ATTACKS:
                        state = _state(attack, defense, budget, knowledge)
                        ids.append(_cell(folder, attack, defense, budget, knowledge, seed=seed, **state))
                    won = {"search:restarts=4,iterations=50": 20, "pso": 76}
                    ids.append(_cell(folder, WORST, defense, budget, knowledge, seed=seed, winners=won))
                search = next(iter(ATTACKS))
                ids.append(_cell(folder, search, defense, budget, counter="straight-through", seed=seed))
    run = {
        "schema": 1,
        "name": folder.name,
        "command": COMMAND,
        "experiment": {"domain": "trajectory", "seeds": seeds},
        "environment": {
            "robeval": "0.1.0",
            "python": "3.11.9",
            "platform": "Linux-x86_64",
            "packages": {"torch": "2.13.0", "numpy": "1.26.4"},
            "device": "cpu",
            "threads": 2,
        },
        "metrics": METRICS,
        "cells": ids,
        "started": "2026-11-21T09:00:00+00:00",
        "finished": "2026-11-21T09:01:00+00:00",
        "seconds": 60.0,
        "complete": True,
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def _state(attack: str, defense: str, budget: float, knowledge: str) -> dict[str, Any]:
    if attack.startswith("search") and (defense, budget, knowledge) == ("smoothing", 1.0, "adaptive"):
        message = "the gradient was zero for 90 of 96 examples"
        evidence = {"check": "gradients", "severity": "suspicious", "message": message}
        return {"verdict": "suspicious", "evidence": [evidence]}
    return {}
