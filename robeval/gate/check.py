"""Run the experiment of a baseline again and hold it against what was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robeval.errors import ExperimentError, UsageError
from robeval.gate.verdict import Change, Verdict
from robeval.results.baseline import DEFAULT, Baseline, Outcomes, read_baseline, read_outcomes

if TYPE_CHECKING:
    from robeval.engine.experiment import Experiment
    from robeval.engine.plan import Plan
    from robeval.engine.progress import Watcher

_NOT_WHAT_IS_ASKED = ("execution", "plugins")
"""How and with which files it is run; the fingerprints say whether the plugins are the same."""


@dataclass(frozen=True)
class Request:
    """What to check, and how strictly."""

    experiment: Path | None = None
    """None: the one that the baseline carries."""
    baseline: Path = DEFAULT
    tolerance: float | None = None
    alpha: float = 0.05
    allow_changed: bool = False
    out: Path | None = None
    plugins: tuple[Path, ...] = ()
    execution: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    command: str = "robeval check"


@dataclass(frozen=True)
class Prepared:
    """Everything read and planned, nothing run."""

    request: Request
    baseline: Baseline
    outcomes: Outcomes
    plan: Plan
    changes: tuple[Change, ...]
    broken: tuple[tuple[str, str], ...]
    """Plugins that could not be loaded, and why."""

    @property
    def folder(self) -> Path:
        """The run folder: that of `robeval run` with the same experiment."""
        experiment = self.plan.experiment
        return self.request.out or Path("runs") / f"{experiment.domain}-{experiment.identity()}"


def prepare(request: Request) -> Prepared:
    """Read the baseline, plan its experiment, and see what has changed since.

    Raises UsageError for a baseline that cannot be used or another experiment than the recorded one.
    """
    from robeval.engine.environment import environment
    from robeval.engine.fingerprints import fingerprints
    from robeval.engine.plan import make_plan
    from robeval.engine.precision import check_execution
    from robeval.gate.judge import changes, check_figures
    from robeval.plugins.discovery import discover

    baseline = read_baseline(request.baseline)
    outcomes = read_outcomes(request.baseline, baseline)
    check_figures(request.baseline, baseline, outcomes)
    experiment = _experiment(request, baseline)
    registry = discover([Path(name) for name in experiment.plugins])
    plan = make_plan(experiment, registry)
    check_execution(plan.experiment.execution)
    _check_same(request, baseline, plan.experiment)
    here = environment()
    found = changes(baseline, fingerprints(plan), {**here.packages, "robeval": here.robeval})
    return Prepared(request, baseline, outcomes, plan, tuple(found), tuple(registry.broken))


def conduct(prepared: Prepared, watcher: Watcher) -> Verdict:
    """Run (cached cells are reused) and judge. Raises Interrupted when it is stopped, with what is finished on disk."""
    from filelock import FileLock

    from robeval.engine.cache import Cache, cache_directory
    from robeval.engine.run import answering_signals, run
    from robeval.gate.judge import judge

    request, folder = prepared.request, prepared.folder
    started = time.perf_counter()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with answering_signals(), watcher, FileLock(folder.parent / f".{folder.name}.lock"):
        cache = Cache(cache_directory(), fresh=request.fresh)
        run(prepared.plan, folder, cache, watcher, command=request.command)
        findings, new = judge(
            prepared.baseline,
            prepared.outcomes,
            folder,
            prepared.changes,
            tolerance=request.tolerance,
            alpha=request.alpha,
            allow_changed=request.allow_changed,
        )
    return Verdict(
        baseline=request.baseline,
        folder=folder,
        experiment=request.experiment,
        findings=tuple(findings),
        changes=prepared.changes,
        new=tuple(new),
        alpha=request.alpha,
        seconds=time.perf_counter() - started,
        command=request.command,
        allow_changed=request.allow_changed,
    )


def check(
    request: Request, watcher: Watcher, tell: Callable[[Sequence[str]], None] = lambda lines: None
) -> Verdict:
    """`prepare`, tell what has changed before time is spent on it, and `conduct`."""
    prepared = prepare(request)
    tell([f"broken plugin left out: {place}: {reason}" for place, reason in prepared.broken])
    tell([str(change) for change in prepared.changes])
    return conduct(prepared, watcher)


def _experiment(request: Request, baseline: Baseline) -> Experiment:
    from robeval.engine.experiment import build_experiment, read_experiment

    if request.experiment is None:
        given = {**baseline.experiment, "execution": dict(request.execution)}
    else:
        given = read_experiment(request.experiment).model_dump()
        given["execution"] |= dict(request.execution)
    if request.plugins:
        given["plugins"] = tuple(map(str, request.plugins))
    try:
        experiment: Experiment = build_experiment(**given)
    except ExperimentError as error:
        source = request.experiment or f"{request.baseline}, experiment"
        raise ExperimentError(f"{source}: {error}") from None
    return experiment


def _check_same(request: Request, baseline: Baseline, experiment: Experiment) -> None:
    from robeval.engine.experiment import Experiment

    now = experiment.model_dump(mode="json")
    # A field that the recording robeval did not know was at its default.
    before = Experiment().model_dump(mode="json") | baseline.experiment
    different = [
        f"  {key}: recorded {before.get(key)}, asked for {value}"
        for key, value in now.items()
        if key not in _NOT_WHAT_IS_ASKED and before.get(key) != value
    ]
    if different:
        asked = request.experiment or "the domain's defaults"
        raise UsageError(
            f"{request.baseline} was recorded from another experiment than {asked}:\n"
            + "\n".join(different)
            + "\nRun this one and record it (robeval baseline RUN -o FILE), or leave the experiment out "
            "to check the recorded one."
        )
