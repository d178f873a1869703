"""The main job on real recordings: attacks on pedestrians of ETH and UCY, one recording held out at a time.

``python -m benchmarks.eth_ucy FOLDER`` where FOLDER holds biwi_eth.txt, biwi_hotel.txt, crowds_zara01.txt and
crowds_zara02.txt; prints a Markdown table of ADE and FDE with 95 % intervals (block bootstrap in time).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

RECORDINGS = ("biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02")
EFFORT = "restarts=4,iterations=50"
ATTACKS = ("none", "noise", f"search:{EFFORT}", f"search-plus:{EFFORT}", f"sa-attack:{EFFORT}")
DEFENSES = ("none", "smoothing")


def run(folder: Path, recording: str, examples: int, out: Path) -> list[dict]:
    """The cells of one held-out recording."""
    words = ["run", "trajectory", "--dataset", f"eth-ucy:root={folder},test={recording}", "--quiet"]
    words += [word for attack in ATTACKS for word in ("-a", attack)]
    words += [word for defense in DEFENSES for word in ("-d", defense)]
    words += [
        "--max-examples",
        str(examples),
        "--out",
        str(out / recording),
        "--json",
        str(out / "summary.json"),
    ]
    subprocess.run([sys.executable, "-m", "robeval", *words], check=True, stdout=subprocess.DEVNULL)
    cells: list[dict] = json.loads((out / "summary.json").read_text())["cells"]
    return cells


def shown(figure: dict) -> str:
    """Value and interval, metres."""
    low, high = (figure[end] if figure[end] is not None else float("nan") for end in ("low", "high"))
    return f"{figure['value']:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the four text files")
    parser.add_argument("--examples", type=int, default=400, help="test examples of each recording")
    given = parser.parse_args()
    print(
        "| held out | attack | defense | n | ADE [m] | FDE [m] | verdict |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as name:
        for recording in RECORDINGS:
            for cell in run(given.folder.resolve(), recording, given.examples, Path(name)):
                figures = (shown(cell["metrics"][metric]) for metric in ("ade", "fde"))
                row = (recording, cell["attack"], cell["defense"], str(cell["n"]), *figures, cell["verdict"])
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
