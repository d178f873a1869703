"""All cells of a plan, by the executor that the experiment names."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from robeval.engine.evaluate import Evaluator
from robeval.engine.executors.schedule import Failed, Pool, schedule
from robeval.engine.executors.worker import Job, Task
from robeval.engine.figures import blank_record
from robeval.engine.plan import Cell, Plan, fits_of
from robeval.engine.run import Interrupted, guarded
from robeval.results.places import is_url, shown
from robeval.results.records import CellRecord

Done = tuple[Cell, CellRecord, bool]


def execute_all(plan: Plan, evaluator: Evaluator, *, debug: bool = False) -> Iterator[Done]:
    """Every cell with its record, and whether it was there already; in any order."""
    execution = plan.experiment.execution
    if execution.executor == "local":
        for cell in plan.cells:
            yield cell, *guarded(evaluator, cell, debug=debug)
        return
    independent = [
        cell for cell in plan.cells if not (cell.refused or cell.members or cell.source is not None)
    ]
    waiting = [cell for cell in independent if not at_hand(evaluator, cell)]
    # A cluster has as many cores as it has; here, as many as we see.
    cores = len(waiting) if execution.address else os.cpu_count() or 1
    jobs = max(1, min(execution.jobs or cores, len(waiting)))
    if waiting:
        pool = make_pool(plan, evaluator, jobs)
        try:
            yield from by_workers(pool, plan, evaluator, waiting, min(jobs, pool.most or jobs))
        except Interrupted:
            evaluator.watcher.say("interrupted; ending the workers")  # Ray takes its seconds
            raise
        finally:
            pool.close()
    done = {cell.id for cell in waiting}
    # What is there already, what is derived, what is impossible: a matter of moments, in plan order.
    for cell in plan.cells:
        if cell.id not in done:
            yield cell, *guarded(evaluator, cell, debug=debug)


def at_hand(evaluator: Evaluator, cell: Cell) -> bool:
    """Whether a cell's record is in the run folder or in the cache."""
    key = evaluator.key(cell)
    if evaluator.cache.fresh:
        return False
    return (
        evaluator.folder.finished(cell.id, key) is not None or evaluator.cache.find("cells", key) is not None
    )


def make_pool(plan: Plan, evaluator: Evaluator, jobs: int) -> Pool[object]:
    """The workers that the experiment asks for."""
    execution = plan.experiment.execution
    elsewhere = execution.executor == "ray"
    job = Job(
        experiment=plan.experiment.model_dump(mode="json"),
        folder=_reachable(evaluator.folder.path, elsewhere=elsewhere),
        cache=_reachable(evaluator.cache.folder, elsewhere=elsewhere),
        since=time.time() if evaluator.cache.fresh else 0.0,
        threads=1 if execution.address else max(1, (os.cpu_count() or 1) // jobs),
        number=0,
        paths=tuple(os.path.abspath(path) for path in sys.path),
        home=os.getcwd(),
    )
    if execution.executor == "ray":
        from robeval.engine.executors.ray_ import RayActors

        return RayActors(job, execution.address, jobs)  # type: ignore[return-value]
    from robeval.engine.executors.processes import Processes

    return Processes(job)  # type: ignore[return-value]


def _reachable(folder: Path, *, elsewhere: bool) -> str:
    """How workers find a folder; those on other machines by its URL, if it has one."""
    place = shown(folder)
    return place if elsewhere and is_url(place) else str(folder.resolve())


def by_workers(
    pool: Pool[object], plan: Plan, evaluator: Evaluator, cells: Sequence[Cell], jobs: int
) -> Iterator[Done]:
    """First the trainings that several cells share, each once; then the cells."""
    watcher, known = evaluator.watcher, {cell.id: cell for cell in cells}
    needed = {fit for cell in cells for fit in fits_of(cell, plan.catalog)}
    fits = [
        Task("fit", str(number))
        for number, fit in enumerate(plan.fits())
        if fit in needed and evaluator.trainings.is_missing(fit)
    ]
    with watcher.task(f"training {len(fits)} victims with {jobs} workers"):
        for count, _ in enumerate(schedule(pool, fits, jobs), start=1):
            watcher.advance(count, len(fits), "victims")
    with watcher.task(f"{len(cells)} cells with {jobs} workers"):
        for result in schedule(pool, [Task("cell", cell.id) for cell in cells], jobs):
            cell = known[result.task.name]
            if isinstance(result, Failed):
                reason = f"tried twice: {result.reason}"
                record = blank_record(cell, plan.catalog, status="failed", error=reason)
                evaluator.folder.keep_cell("failed", record, {})
                watcher.say(f"failed: {cell}: {reason}")
                yield cell, record, False
                continue
            record = CellRecord.model_validate_json(result.record)
            if result.event is not None:
                evaluator.folder.adopt(result.event)
            if record.status == "failed":
                watcher.say(f"failed: {cell}: {record.error}")
            yield cell, record, result.cached
