"""What every attack costs beyond its passes through the victim."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arithmetic import middle
from benchmarks.frame import Claim, Figure, Measured
from benchmarks.shell import robeval
from benchmarks.turns import say

VICTIMS = ("lstm", "grip")
GRADIENT = ("search", "search-plus", "sa-attack")
OTHERS = ("noise", "pso:iterations=50")
LIMIT = 1.2
"""For gradient attacks on GRIP++; the small victims make an attack's own work look large."""


def measure(quick: bool) -> Measured:
    """Every default attack on both victims, trained for a moment: what they cost does not depend on their skill."""
    steps, rounds = (2, 1) if quick else (20, 3)
    effort = "restarts=2,iterations=3" if quick else "restarts=4,iterations=30"
    attacks = [f"{name}:{effort}" for name in GRADIENT] + ([] if quick else list(OTHERS))
    words = ["run", "trajectory", "-d", "none", "--quiet", "--json", "summary.json"]
    words += [word for attack in attacks for word in ("-a", attack)]
    words += [word for name in VICTIMS for word in ("--victim", f"{name}:steps={steps}")]
    words += ["--max-examples", "8"] if quick else []
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            robeval(*words, folder=folder)
            cells = json.loads((folder / "summary.json").read_text())["cells"]
        say(f"round {number + 1} of {rounds}")
        for cell in cells:
            if cell["cost"]["forward"]:
                found.setdefault((_short(cell["victim"]), _short(cell["attack"])), []).append(cell["cost"])
    rows: list[tuple[Figure | str, ...]] = []
    claims = []
    for (victim, attack), costs in found.items():
        measured = [cost["overhead"] for cost in costs if cost["overhead"] is not None]
        overhead = middle(measured, "×") if measured else "not measured"
        passes = f"{costs[0]['forward']:,.0f} + {costs[0]['backward']:,.0f}"
        rows.append((victim, attack, passes, middle([cost["seconds"] for cost in costs], "s"), overhead))
        if victim == "grip" and attack in GRADIENT and isinstance(overhead, Figure):
            claims.append(Claim(what=f"{attack} on GRIP++: overhead", figure=overhead, at_most=LIMIT))
    return Measured(
        columns=("victim", "attack", "passes forward + backward per example", "attack seconds", "overhead"),
        rows=tuple(rows),
        claims=tuple(claims),
    )


def _short(spec: str) -> str:
    return spec.partition(":")[0]
