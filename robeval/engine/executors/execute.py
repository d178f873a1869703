"""All cells of a plan, by the executor that the experiment names."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from robeval.engine.catalog import Catalog
from robeval.engine.evaluate import Evaluator
from robeval.engine.executors.schedule import Failed, Pool, schedule
from robeval.engine.executors.worker import Job, Task
from robeval.engine.figures import blank_record
from robeval.engine.plan import Cell, Fit, Plan, fits_of, warm_start
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
    """The trainings, each once, and every cell as soon as its own are there."""
    watcher, known = evaluator.watcher, {cell.id: cell for cell in cells}
    fits = {fit: Task("fit", str(number)) for number, fit in enumerate(plan.fits())}
    tasks = graph(plan.catalog, cells, fits, evaluator.trainings.is_missing)
    labels = {task: str(fit) for fit, task in fits.items()}
    labels |= {Task("cell", cell.id): str(cell) for cell in cells}

    def tell(in_hand: Mapping[Task, float]) -> None:
        watcher.in_hand({labels[task]: seconds for task, seconds in in_hand.items()})

    trainings = len(tasks) - len(cells)
    first = f"{trainings} trainings, " if trainings else ""
    with watcher.task(f"{first}{len(cells)} cells with {jobs} workers"):
        for result in schedule(pool, tasks, jobs, tell):
            if result.task.kind == "fit":
                reason = result.reason if isinstance(result, Failed) else result.record
                label = labels[result.task]
                watcher.say(f"not trained: {label}: {reason}" if reason else f"trained {label}")
                continue
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


def graph(
    catalog: Catalog, cells: Sequence[Cell], fits: Mapping[Fit, Task], is_missing: Callable[[Fit], bool]
) -> dict[Task, list[Task]]:
    """What has to be done, and what each task needs first: a cell its trainings, a training its warm start."""
    needs: dict[Cell, list[Fit]] = {cell: fits_of(cell, catalog) for cell in cells}
    wanted = {fit for needed in needs.values() for fit in needed}
    missing = {fit: task for fit, task in fits.items() if fit in wanted and is_missing(fit)}
    starts = {task: warm_start(fit, catalog) for fit, task in missing.items()}
    trainings = {
        task: [missing[start]] if start and start in missing else [] for task, start in starts.items()
    }
    return trainings | {
        Task("cell", cell.id): [missing[fit] for fit in needed if fit in missing]
        for cell, needed in needs.items()
    }
