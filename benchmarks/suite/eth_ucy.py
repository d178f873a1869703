"""The main job on real recordings: attacks on pedestrians of ETH and UCY, one recording held out at a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.frame import Figure, Measured
from benchmarks.shell import robeval
from benchmarks.suite.public import folder
from benchmarks.turns import say

RECORDINGS = ("biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02")
EFFORT = "restarts=4,iterations=50"
ATTACKS = ("none", "noise", f"search:{EFFORT}", f"search-plus:{EFFORT}", f"sa-attack:{EFFORT}")
DEFENSES = ("none", "smoothing")


def measure(quick: bool) -> Measured:
    """ADE and FDE of every recording, attack and defense."""
    data = folder("eth_ucy", *(f"{recording}.txt" for recording in RECORDINGS))
    rows: list[tuple[Figure | str, ...]] = []
    for recording in RECORDINGS[:1] if quick else RECORDINGS:
        for cell in _cells(data, recording, quick):
            figures = (shown(cell["metrics"][metric]) for metric in ("ade", "fde"))
            rows.append(
                (recording, cell["attack"], cell["defense"], str(cell["n"]), *figures, cell["verdict"])
            )
        say(recording)
    return Measured(
        columns=("held out", "attack", "defense", "n", "ADE [m]", "FDE [m]", "verdict"), rows=tuple(rows)
    )


def _cells(data: Path, recording: str, quick: bool) -> list[dict[str, Any]]:
    """The cells of one held-out recording."""
    words = ["run", "trajectory", "--dataset", f"eth-ucy:root={data},test={recording}", "--quiet"]
    words += [word for attack in (ATTACKS[:2] if quick else ATTACKS) for word in ("-a", attack)]
    words += [word for defense in DEFENSES for word in ("-d", defense)]
    words += ["--max-examples", "16" if quick else "400", "--json", "summary.json"]
    words += ["--victim", "lstm:steps=20"] if quick else []
    with tempfile.TemporaryDirectory() as name:
        robeval(*words, folder=Path(name))
        cells: list[dict[str, Any]] = json.loads((Path(name) / "summary.json").read_text())["cells"]
    return cells


def shown(figure: dict[str, Any]) -> str:
    """Value and interval, as a run's summary has them."""
    value, low, high = (
        figure[part] if figure[part] is not None else float("nan") for part in ("value", "low", "high")
    )
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
