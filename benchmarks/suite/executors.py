"""The default run's cells one after the other, and in two processes."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Measured
from benchmarks.shell import robeval
from benchmarks.turns import say

EXECUTORS = {"local": (), "processes --jobs 2": ("--executor", "processes", "--jobs", "2")}
QUICK = ("-a", "noise", "-d", "none", "--victim", "lstm:steps=20", "--max-examples", "8")
AIM = 1.4
"""Two cores, and each worker imports everything for itself."""


def measure(quick: bool) -> Measured:
    """Both executors in turns, from the same trained victims; the figures must be equal."""
    words = ("run", "trajectory", *(QUICK if quick else ()))
    times: dict[str, list[float]] = {name: [] for name in EXECUTORS}
    figures: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        say("training the victims")
        robeval(*words, folder=home)
        shutil.rmtree(home / "cache/cells")
        for number in range(1 if quick else 2):
            for label, flags in EXECUTORS.items():
                folder = home / f"{number}-{label.split()[0]}"
                shutil.copytree(home / "cache", folder / "cache")
                found = robeval(*words, *flags, "--json", "summary.json", "--quiet", folder=folder)
                times[label].append(found.seconds)
                figures.append(_figures(folder / "summary.json"))
                say(f"{label}: {found.seconds:.1f} s")
    if any(found != figures[0] for found in figures):
        raise RuntimeError("the executors' figures differ")
    faster = ratio(times["local"], times["processes --jobs 2"])
    return Measured(
        columns=("executor", "seconds", "times faster than local"),
        rows=tuple(
            (label, middle(found, "s"), ratio(times["local"], found)) for label, found in times.items()
        ),
        claims=(
            Claim(
                what="cells of the default run in two processes: times faster", figure=faster, at_least=AIM
            ),
        ),
        notes=("All figures of all cells are equal, whichever executor.",),
    )


def _figures(path: Path) -> Any:
    cells = json.loads(path.read_text())["cells"]
    return [(cell["id"], cell["n"], cell["invalid"], cell["metrics"], cell["verdict"]) for cell in cells]
