"""`robeval` as a person starts it: a process of its own in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """Wall seconds of a finished command, and the most memory that its process held (MiB; without its children)."""

    seconds: float
    peak_mib: float


def robeval(*words: str, folder: Path, cache: Path | None = None, **environment: str) -> Ran:
    """Run one command line to its end; its cache is beside it in `folder` unless another is given.

    Raises RuntimeError with what it said last when it did not end well.
    """
    given = os.environ | {"ROBEVAL_CACHE_DIR": str(cache or folder / "cache")} | environment
    told = folder / "stderr.txt"
    began = time.perf_counter()
    with told.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "robeval", *words],
            cwd=folder,
            env=given,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if code:
        last = told.read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"`robeval {' '.join(words)}` ended with {code}: {' '.join(last)}")
    return Ran(seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
