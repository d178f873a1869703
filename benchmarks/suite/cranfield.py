"""Ranking on real texts: how well MiniLM is imitated on Cranfield, and what PAT makes of it, per query budget."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.frame import Measured
from benchmarks.shell import robeval
from benchmarks.suite.eth_ucy import shown
from benchmarks.suite.public import folder

FILES = ("cran.all.1400", "cran.qry", "cranqrel")
STEPS = {100: 80, 1000: 300, 10_000: 800}
"""Training steps of the imitation by ranked lists that it may ask for."""
METRICS = ("ndcg10", "top10", "top50", "boost")
MEASURES = ("overlap@10", "rbo", "zone", "top10 on the imitation", "boost on the imitation")


def measure(quick: bool) -> Measured:
    """One matrix row per attack and budget."""
    data = folder("cranfield", *FILES)
    words = ["run", "ranking", "--dataset", f"cranfield:folder={data}", "--quiet", "--json", "summary.json"]
    words += [word for attack in attacks(quick) for word in ("-a", attack)]
    words += ["-d", "none", "--max-examples", "4" if quick else "60"]
    words += ["--victim", "bm25" if quick else "minilm"]
    with tempfile.TemporaryDirectory() as name:
        robeval(*words, folder=Path(name))
        return table(json.loads((Path(name) / "summary.json").read_text())["cells"])


def attacks(quick: bool) -> list[str]:
    """Baselines, then imitation alone and PAT for each query budget."""
    found = ["none", "random-trigger"]
    if quick:
        return found
    for queries, steps in STEPS.items():
        found.append(f"imitation:queries={queries},steps={steps}")
        found.append(f"pat:beams=3,candidates=24,queries={queries},imitation_steps={steps}")
    return [*found[:2], "query-stuffing", *found[2:]]


def table(cells: list[dict[str, Any]]) -> Measured:
    """Metrics on the victim, and what the attack measured of its imitation."""
    rows = tuple(
        (
            cell["attack"],
            str(cell["n"]),
            *(_told(cell["metrics"], name) for name in METRICS),
            *(_told(cell["measures"], name) for name in MEASURES),
        )
        for cell in cells
    )
    return Measured(
        columns=("attack", "n", *METRICS, *MEASURES),
        rows=rows,
        notes=(
            "ndcg10 is of the clean list, the same in every row. The last columns are measured on the attacker's own "
            "imitation: agreement of its lists with the victim's, and what its triggers promise there.",
        ),
    )


def _told(figures: dict[str, Any], name: str) -> str:
    return shown(figures[name]) if name in figures else ""
