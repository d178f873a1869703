"""One benchmark, in this process: measured, and its file written.

``python -m benchmarks.child NAME FOLDER [--quick]`` is what the main command starts for each of them.
"""

from __future__ import annotations

import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.catalog import Benchmark, chosen
from benchmarks.frame import Kept, NotHere
from benchmarks.machine import this_machine
from benchmarks.store import keep, keep_trouble

MEASURED, FAILED, ABSENT = 0, 3, 5
CHECKOUT = Path(__file__).resolve().parent.parent


def measured(benchmark: Benchmark, folder: Path, *, quick: bool) -> int:
    """Measure and keep; the exit code says what it came to. Earlier figures survive a failure."""
    machine = this_machine()
    began = time.perf_counter()
    try:
        found = benchmark.load()(quick)
    except NotHere as why:
        keep_trouble(folder, benchmark.name, absent=str(why))
        return ABSENT
    except Exception as error:
        traceback.print_exc()
        keep_trouble(folder, benchmark.name, failed=_said(error))
        return FAILED
    record = Kept(
        name=benchmark.name,
        measured=found,
        machine=machine,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=round(time.perf_counter() - began, 1),
        quick=quick,
    )
    keep(folder, record)
    return MEASURED


def _said(error: Exception) -> str:
    # The page is public: where the checkout lies on this machine is nobody's business.
    lines = str(error).replace(f"{CHECKOUT}/", "").replace(f"{CHECKOUT.parent}/", "").strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"


if __name__ == "__main__":
    name, folder, *flags = sys.argv[1:]
    sys.exit(measured(chosen([name])[0], Path(folder), quick="--quick" in flags))
