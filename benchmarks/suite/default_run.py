"""How long a user waits for the default run of a domain: with nothing cached, and again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.arithmetic import middle
from benchmarks.frame import Claim, Figure, Measured
from benchmarks.shell import robeval
from benchmarks.turns import say

AIMS_S = {"trajectory": (90.0, 10.0), "ranking": (180.0, 15.0), "diffusion": (480.0, 120.0)}
"""Seconds with an empty cache and with a warm one."""
QUICK = {
    "trajectory": ("-a", "noise", "-d", "none", "--victim", "lstm:steps=20", "--max-examples", "8"),
    "ranking": ("-a", "random-trigger", "-d", "none", "--victim", "bm25", "--max-examples", "4"),
    "diffusion": (
        *("-a", "random-prefix:tries=1", "-d", "none", "--max-examples", "3"),
        *(
            "--dataset",
            "synthetic:train=64,prompts=3,retained=3",
            "--victim",
            "small:steps=3,sampling_steps=2",
        ),
    ),
}


def trajectory(quick: bool) -> Measured:
    """`robeval run`."""
    return _measured("trajectory", quick)


def ranking(quick: bool) -> Measured:
    """`robeval run ranking`."""
    return _measured("ranking", quick)


def diffusion(quick: bool) -> Measured:
    """`robeval run diffusion`."""
    return _measured("diffusion", quick)


def _measured(domain: str, quick: bool) -> Measured:
    words = ("run", domain, *(QUICK[domain] if quick else ()))
    rounds = range(1 if quick else 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold = robeval(*words, folder=folder)
        say(f"cold: {cold.seconds:.1f} s")
        again = middle([robeval(*words, folder=folder).seconds for _ in rounds], "s")
        elsewhere = middle(
            [robeval(*words, "--out", f"other{number}", folder=folder).seconds for number in rounds], "s"
        )
    first = Figure(value=cold.seconds, unit="s")
    command = " ".join(words)
    peak = Figure(value=cold.peak_mib, unit="MiB")
    return Measured(
        columns=("`robeval " + command + "`", "seconds", "peak memory"),
        rows=(
            ("empty cache", first, peak),
            ("same folder again", again, ""),
            ("another folder, warm cache", elsewhere, ""),
        ),
        claims=(
            Claim(what=f"default run, {domain}, empty cache", figure=first, at_most=AIMS_S[domain][0]),
            Claim(what=f"default run, {domain}, warm cache", figure=elsewhere, at_most=AIMS_S[domain][1]),
        ),
    )
