"""A worker: the same plan in another process, asked for one training or one cell at a time."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Task(NamedTuple):
    """A training by its place in the plan's fits, or a cell by its id."""

    kind: Literal["fit", "cell"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Answer(NamedTuple):
    """What came of a task."""

    task: Task
    record: str
    """The cell's record as JSON; for a training the reason why it failed, or nothing."""
    event: dict[str, Any] | None
    """The journal's line of a finished cell."""
    cached: bool


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; plain values, so that it travels."""

    experiment: dict[str, Any]
    folder: str
    """A path, or the URL of a run for a worker on another machine."""
    cache: str
    since: float
    """Cached results from before are ignored."""
    threads: int
    number: int
    paths: tuple[str, ...] = ()
    """Where the main process finds its modules."""
    home: str = ""
    """The folder that relative paths of the experiment start from."""


class Worker:
    """Answers tasks. A task that fails is an answer like any other; only a lost process is not."""

    def __init__(self, job: Job) -> None:
        import os
        import sys

        if os.path.isdir(job.home):
            os.chdir(job.home)
        sys.path[:] = [*dict.fromkeys([*job.paths, *sys.path])]

        import torch

        from robeval.engine.cache import Cache
        from robeval.engine.evaluate import Evaluator
        from robeval.engine.experiment import Experiment
        from robeval.engine.plan import make_plan
        from robeval.engine.progress import Watcher
        from robeval.plugins.discovery import discover
        from robeval.results.places import is_url, local_folder
        from robeval.results.store import RunFolder

        torch.set_num_threads(job.threads)
        experiment = Experiment.model_validate(job.experiment)
        plan = make_plan(experiment, discover([Path(name) for name in experiment.plugins]))
        # Of a run at a URL, this worker has a mirror of its own, with no more in it than one cell at a time.
        self.own = tempfile.TemporaryDirectory(prefix="robeval-") if is_url(job.folder) else None
        path = local_folder(job.folder, home=Path(self.own.name) if self.own else None)
        folder = RunFolder(path, writer=job.number)
        cache = Cache(local_folder(job.cache), since=job.since)
        self.evaluator = Evaluator(plan.experiment, plan.catalog, cache, folder, Watcher())
        self.fits = plan.fits()
        self.cells = {cell.id: cell for cell in plan.cells}

    def answer(self, task: Task) -> Answer:
        """Do one task."""
        if task.kind == "fit":
            return Answer(task, self._trained(int(task.name)), None, False)
        from robeval.engine.run import guarded

        cell, folder = self.cells[task.name], self.evaluator.folder
        if self.own is not None and folder.mirror is not None:
            mine = f"chunks/{cell.id}-"
            if any(name.startswith(mine) for name in folder.mirror.remote.listing("chunks")):
                # Another worker began this cell.
                folder.mirror.update(lambda name: name.startswith(("journal", mine)), prune=False)
        folder.refresh()
        record, cached = guarded(self.evaluator, cell, debug=False)
        if self.own is not None:
            for part in ("cells", "examples", "artifacts", "chunks"):
                shutil.rmtree(folder.path / part, ignore_errors=True)  # it is all at the URL
        return Answer(task, record.model_dump_json(by_alias=True), folder.event(cell.id), cached)

    def _trained(self, number: int) -> str:
        from robeval.engine.blame import reason

        try:
            self.evaluator.trainings.victim(self.fits[number])
        except (Exception, SystemExit) as error:
            return reason(error)  # its cells will meet the same error, and say so
        return ""
