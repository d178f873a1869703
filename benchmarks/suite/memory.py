"""The most memory that a run holds, as its batch grows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.arithmetic import slope
from benchmarks.frame import Claim, Figure, Measured
from benchmarks.shell import robeval
from benchmarks.turns import say

SIZES = (16, 64, 256, 1024)
ITERATIONS = 3
"""A step needs as much memory as fifty."""
EFFORT = f"restarts=4,iterations={ITERATIONS}"
ATTACKS = (f"search-plus:{EFFORT}", f"sa-attack:{EFFORT}", f"pso:iterations={ITERATIONS}")
LIMIT_MIB = 4096.0


def measure(quick: bool) -> Measured:
    """One process per batch size, from the same trained victim; batches as large as the number of examples."""
    sizes = SIZES[:3] if quick else SIZES
    examples = str(max(sizes))
    words = ["run", "trajectory", "-d", "none", "--quiet", "--max-examples", examples]
    words += ["--dataset", f"synthetic:test_scenes={examples}", "--victim", "lstm:steps=20"]
    attacks = [word for attack in (ATTACKS[:1] if quick else ATTACKS) for word in ("-a", attack)]
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"
        idle = robeval(*words, "-a", "none", "--out", "clean", folder=folder, cache=cache).peak_mib
        for size in sizes:
            # Another seed is no other work, but another victim; another budget is neither.
            found = robeval(
                *words,
                *attacks,
                *("--batch-size", str(size), "--budget", f"{1 + size / 1e6}", "--out", f"run{size}"),
                folder=folder,
                cache=cache,
            )
            peaks[size] = found.peak_mib
            say(f"batches of {size}: {found.peak_mib:.0f} MiB in {found.seconds:.0f} s")
    rows: list[tuple[Figure | str, ...]] = [
        ("no attack", Figure(value=idle, unit="MiB"), ""),
        *(
            (f"{size}", Figure(value=peak, unit="MiB"), Figure(value=(peak - idle) / size, unit="MiB"))
            for size, peak in peaks.items()
        ),
    ]
    largest = Figure(value=peaks[max(peaks)], unit="MiB")
    exponent = slope(list(peaks), list(peaks.values()))
    return Measured(
        columns=("examples a batch", "peak of the process", "more than without attack, per example"),
        rows=tuple(rows),
        claims=(
            Claim(what=f"peak memory, {max(peaks):,} examples a batch", figure=largest, at_most=LIMIT_MIB),
            Claim(what="peak memory against batch size: exponent", figure=exponent, at_most=1.0),
        ),
        notes=(f"Attacks: {', '.join(ATTACKS)}; {examples} examples.",),
    )
