"""Every benchmark in a process of its own, one after the other, whatever becomes of each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.catalog import Benchmark
from benchmarks.child import ABSENT, FAILED, MEASURED
from benchmarks.store import keep_trouble, kept

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 900
"""No benchmark may take longer; it has then failed."""
ENDED = {MEASURED: "measured", ABSENT: "not run here", FAILED: "failed"}


def measure_all(
    benchmarks: Sequence[Benchmark],
    folder: Path,
    say: Callable[[str], None],
    *,
    quick: bool,
    limit_s: float = LIMIT_S,
) -> dict[str, int]:
    """What became of each (MEASURED, ABSENT or FAILED), its file in `folder`.

    Ctrl-C stops the one at work with all its processes and is raised again.
    """
    found: dict[str, int] = {}
    for number, benchmark in enumerate(benchmarks, start=1):
        about = "quick" if quick else f"about {benchmark.about_s} s on two idle cores"
        say(f"[{number}/{len(benchmarks)}] {benchmark.name}: {benchmark.title} ({about})")
        found[benchmark.name] = code = _in_its_own_process(benchmark.name, folder, quick, limit_s)
        record = kept(folder, benchmark.name)
        say(f"    {ENDED[code]}{_reason(code, record.absent, record.failed, record.seconds)}")
    return found


def _reason(code: int, absent: str, failed: str, seconds: float) -> str:
    return {MEASURED: f" in {seconds:.0f} s", ABSENT: f": {absent}", FAILED: f": {failed}"}[code]


def _in_its_own_process(name: str, folder: Path, quick: bool, limit_s: float) -> int:
    words = [sys.executable, "-m", "benchmarks.child", name, str(folder.resolve())]
    with tempfile.TemporaryDirectory(prefix="robeval-benchmark-") as scratch:
        # Nothing that the user has cached helps, and nothing of ours stays.
        environment = os.environ | {"ROBEVAL_CACHE_DIR": str(Path(scratch) / "cache"), "TMPDIR": scratch}
        child = subprocess.Popen(
            words + ["--quick"] * quick, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            keep_trouble(folder, name, failed=f"stopped after {limit_s:.0f} s")
            return FAILED
        finally:
            _end(child)
    if code not in ENDED:
        keep_trouble(folder, name, failed=f"its process ended with {code}")
        return FAILED
    return code


def _end(child: subprocess.Popen[bytes]) -> None:
    """The process and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
