"""The table of contents: what can be measured, in the order of RESULTS.md. Nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from benchmarks.frame import Measured
from robeval.errors import UsageError, nearest


@dataclass(frozen=True)
class Benchmark:
    """A name, what it answers, and where the function is that measures it (`module:function`)."""

    name: str
    title: str
    what: str
    target: str
    about_s: int
    """Seconds that it takes on two idle cores, roughly."""

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m benchmarks {self.name}"

    def load(self) -> Callable[[bool], Measured]:
        """The function; it is told whether to be quick."""
        module, _, function = self.target.partition(":")
        measure: Callable[[bool], Measured] = getattr(import_module(module), function)
        return measure


def _in_suite(name: str, title: str, what: str, target: str, about_s: int) -> Benchmark:
    return Benchmark(name, title, what, f"benchmarks.suite.{target}", about_s)


BENCHMARKS = (
    _in_suite(
        "start",
        "Commands that must answer at once",
        "Wall seconds of whole processes; cold: without byte code, as right after an installation.",
        "start:measure",
        10,
    ),
    _in_suite(
        "run-trajectory",
        "The default run: trajectory",
        "Wall seconds of `robeval run` with an empty cache, again in the same folder, and in another folder.",
        "default_run:trajectory",
        105,
    ),
    _in_suite(
        "run-ranking",
        "The default run: ranking",
        "Wall seconds of `robeval run ranking` with an empty cache, again, and in another folder.",
        "default_run:ranking",
        220,
    ),
    _in_suite(
        "run-diffusion",
        "The default run: diffusion",
        "Wall seconds of `robeval run diffusion` with an empty cache, again, and in another folder.",
        "default_run:diffusion",
        540,
    ),
    _in_suite(
        "peers",
        "The same PGD as in torchattacks, foolbox and ART",
        "L-inf PGD with random start: same model, examples, steps, step size and number of passes, one thread, in "
        "turns. Overhead: CPU time over that of the bare forward and backward passes of the same round.",
        "peers:measure",
        330,
    ),
    _in_suite(
        "overhead",
        "What an attack costs beyond its passes",
        "CPU time of the attack over that of as many passes forward and backward alone, one thread, in turns; beside "
        "it what every run records (`cost.overhead`). Undefended trajectory victims, untrained.",
        "overhead:measure",
        75,
    ),
    _in_suite(
        "search",
        "The search attack against the published style",
        "CPU milliseconds per iteration of one (scene, objective, restart), one thread, a trivial predictor. One by "
        "one: our plain version of the published style (arXiv:2201.05057).",
        "trajectory_search:measure",
        30,
    ),
    _in_suite(
        "sa-attack",
        "The follower-and-projection loop against the published style",
        "CPU milliseconds per look of one (scene, objective, restart): scale, drive, predict, differentiate, step. "
        "One by one: our plain version of the published style of SA-Attack.",
        "trajectory_sa:measure",
        40,
    ),
    _in_suite(
        "triggers",
        "Ranking triggers against the published style",
        "CPU milliseconds per trigger, one thread, same models, beams, candidates and steps. One by one: our plain "
        "version of the published style of PAT (arXiv:2209.06506).",
        "ranking_triggers:measure",
        50,
    ),
    _in_suite(
        "growth",
        "How cost grows",
        "The exponent of growth (slope of log cost on log size) with its 95 % interval; 1 is linear, less is better. "
        "CPU time of the batched search attack on a trivial predictor (agents: on GRIP++, which looks at all of them); "
        "of a whole run in one process for cells.",
        "growth:measure",
        50,
    ),
    _in_suite(
        "plan",
        "Planning 10 000 cells",
        "Seconds from an experiment to its checked cells and trainings, in a process of its own.",
        "plan:measure",
        6,
    ),
    _in_suite(
        "store",
        "A million example records",
        "100 cells of 10 000 examples: written as a run's cells are, read back, reported.",
        "store:measure",
        25,
    ),
    _in_suite(
        "memory",
        "Peak memory as the batch grows",
        "Peak resident memory (MiB) of a whole `robeval run` process; the attacks of the default run, undefended.",
        "memory:measure",
        50,
    ),
    _in_suite(
        "executors",
        "Cells in processes of their own",
        "Wall seconds of the default trajectory run's cells, its victims trained beforehand: one after the other "
        "against two workers, in turns.",
        "executors:measure",
        350,
    ),
    _in_suite(
        "eth-ucy",
        "Real recordings: pedestrians of ETH and UCY",
        "LSTM trained on the other three recordings, n test windows of the held-out one, ADE and FDE in metres with "
        "95 % block bootstrap intervals, budget 1 m.",
        "eth_ucy:measure",
        175,
    ),
    _in_suite(
        "cranfield",
        "Real texts: Cranfield",
        "MiniLM on the Cranfield collection: how well it is imitated from ranked lists alone, and what PAT gains with "
        "100, 1,000 and 10,000 of them, on the imitation and on the victim.",
        "cranfield:measure",
        700,
    ),
    _in_suite(
        "accelerator",
        "On an accelerator",
        "PGD on batches that fill the device: rows a second, the share of the measured peak of forward and backward "
        "passes, and of the device's measured matrix multiplication.",
        "accelerator:measure",
        60,
    ),
)


def chosen(names: Sequence[str]) -> tuple[Benchmark, ...]:
    """The benchmarks of these names, all of them without names.

    Raises UsageError with the nearest names for one that does not exist.
    """
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise UsageError(f"no benchmark '{name}'.{hint}\nKnown: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) if names else BENCHMARKS
