"""Ranking on real texts: word attacks on a ranker that is trained on the Cranfield collection."""

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
ATTACKS = ("random-trigger", "query-stuffing", "hotflip:queries=100,imitation_steps=80")
DEFENSES = ("none", "perplexity-filter", "spamicity-filter")
METRICS = 3
"""How many of the domain's metrics are shown, the headline first."""


def measure(quick: bool) -> Measured:
    """Every attack and defense."""
    data = folder("cranfield", *FILES)
    words = ["run", "ranking", "--dataset", f"cranfield:folder={data}", "--quiet", "--json", "summary.json"]
    words += [word for attack in (ATTACKS[:1] if quick else ATTACKS) for word in ("-a", attack)]
    words += [word for defense in (DEFENSES[:1] if quick else DEFENSES) for word in ("-d", defense)]
    words += ["--max-examples", "4" if quick else "48"]
    words += ["--victim", "bm25"] if quick else []
    with tempfile.TemporaryDirectory() as name:
        robeval(*words, folder=Path(name))
        summary: dict[str, Any] = json.loads((Path(name) / "summary.json").read_text())
    metrics = [metric["name"] for metric in summary["run"]["metrics"][:METRICS]]
    rows = [
        (
            *(cell["attack"], cell["defense"], str(cell["n"])),
            *(shown(cell["metrics"][metric]) for metric in metrics),
            cell["verdict"],
        )
        for cell in summary["cells"]
    ]
    return Measured(columns=("attack", "defense", "n", *metrics, "verdict"), rows=tuple(rows))
