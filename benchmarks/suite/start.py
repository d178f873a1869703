"""How fast the commands answer that people type without thinking, with and without byte code."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.arithmetic import middle
from benchmarks.frame import Claim, Measured
from benchmarks.shell import robeval

COMMANDS = {"--help": 0.3, "list": 0.5}
"""What is started, and the seconds that it may take."""


def measure(quick: bool) -> Measured:
    """Both commands, cold and warm."""
    rounds = 2 if quick else 7
    rows, claims = [], []
    for word, limit in COMMANDS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            robeval(word, folder=folder)
            warm = middle([robeval(word, folder=folder).seconds for _ in range(rounds)], "s")
            cold = middle([_cold(word, folder / f"bytes{number}") for number in range(rounds)], "s")
        rows.append((f"`robeval {word}`", warm, cold))
        claims.append(Claim(what=f"`robeval {word}`", figure=warm, at_most=limit))
    return Measured(columns=("command", "warm", "cold"), rows=tuple(rows), claims=tuple(claims))


def _cold(word: str, folder: Path) -> float:
    """With byte code looked for, and written, where there is none."""
    folder.mkdir()
    return robeval(word, folder=folder, PYTHONPYCACHEPREFIX=str(folder / "code")).seconds
