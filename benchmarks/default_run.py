"""How long a user waits: the default run cold and warm, and the commands that must answer at once.

``python -m benchmarks.default_run`` starts each command in a process of its own, as a shell does, with an empty cache
for the cold run; `--repeats N` takes the median of the short ones.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHORT = {"robeval --help": ("--help",), "robeval list": ("list",)}


def seconds(words: tuple[str, ...], folder: Path) -> float:
    """Wall seconds of one command in an otherwise empty folder."""
    environment = os.environ | {"ROBEVAL_CACHE_DIR": str(folder / "cache")}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "robeval", *words],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="how often the short commands are timed")
    repeats = parser.parse_args().repeats
    print("| command | seconds | aim |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for (label, words), aim in zip(SHORT.items(), ("0.3", "0.5"), strict=True):
            seconds(words, folder)
            middle = statistics.median(seconds(words, folder) for _ in range(repeats))
            print(f"| `{label}` | {middle:.2f} (median of {repeats}) | < {aim} |", flush=True)
        print(f"| `robeval run`, cold cache | {seconds(('run',), folder):.1f} | < 90 |", flush=True)
        print(f"| `robeval run`, same folder again | {seconds(('run',), folder):.1f} | < 10 |", flush=True)
        elsewhere = seconds(("run", "--out", "elsewhere"), folder)
        print(f"| `robeval run`, another folder, warm cache | {elsewhere:.1f} | < 10 |", flush=True)


if __name__ == "__main__":
    main()
