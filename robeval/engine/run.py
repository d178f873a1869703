"""A whole run: plan, execute every cell, keep what is done whatever happens."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from robeval.engine.blame import reason
from robeval.engine.cache import Cache
from robeval.engine.environment import environment
from robeval.engine.evaluate import Evaluator
from robeval.engine.figures import blank_record
from robeval.engine.fingerprints import fingerprints
from robeval.engine.plan import Cell, Plan
from robeval.engine.progress import Watcher
from robeval.engine.timeout import TimedOut, time_limit
from robeval.errors import UsageError
from robeval.results.records import CellRecord, MetricRecord, RunRecord
from robeval.results.store import RunFolder


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not a KeyboardInterrupt: Lightning answers that by exiting the process on its own terms."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@dataclass
class Outcome:
    """What a run came to."""

    folder: Path
    records: list[CellRecord] = field(default_factory=list)
    seconds: float = 0.0
    from_cache: int = 0

    def exit_code(self, *, strict: bool) -> int:
        """0 done · 3 cells failed, or every figure of a cell is invalid · 4 suspicious cells under --strict."""
        if any(r.status in ("failed", "missing") or r.verdict == "invalid" for r in self.records):
            return 3
        return 4 if strict and any(r.verdict == "suspicious" for r in self.records) else 0


def run(
    plan: Plan,
    folder: Path,
    cache: Cache,
    watcher: Watcher,
    *,
    command: str,
    debug: bool = False,
) -> Outcome:
    """Execute every cell of a plan into a run folder; continues what an earlier run left there.

    A failing cell is recorded with its error and the run goes on. Raises Interrupted when it is stopped, with
    everything finished so far on disk.
    """
    store = RunFolder(folder)
    evaluator = Evaluator(plan.experiment, plan.catalog, cache, store, watcher)
    for cell in plan.cells:
        if not cell.refused:
            evaluator.key(
                cell
            )  # reads every file that the run depends on: what is missing is said before a folder exists
    with store.held():
        return _executed(plan, evaluator, command=command, debug=debug)


def _executed(plan: Plan, evaluator: Evaluator, *, command: str, debug: bool) -> Outcome:
    """The run itself, in a folder that is this process's."""
    store, cache, watcher, folder = (
        evaluator.folder,
        evaluator.cache,
        evaluator.watcher,
        evaluator.folder.path,
    )
    store.claim(plan.experiment.asked(), fresh=cache.fresh)
    outcome, started = Outcome(folder), datetime.now(UTC)
    digests = fingerprints(plan)
    began = time.perf_counter()

    def note(*, complete: bool) -> None:
        outcome.seconds = time.perf_counter() - began
        store.write_run(
            RunRecord(
                name=folder.name,
                command=command,
                note=plan.note,
                experiment=plan.experiment.model_dump(mode="json"),
                environment=environment(),
                fingerprints=digests,
                cells=[cell.id for cell in plan.cells],
                metrics=[
                    MetricRecord.model_validate(metric, from_attributes=True)
                    for metric in plan.catalog.domain.metrics
                ],
                started=started.isoformat(timespec="seconds"),
                finished=datetime.now(UTC).isoformat(timespec="seconds") if complete else None,
                seconds=round(outcome.seconds, 3),
                complete=complete,
            )
        )

    note(complete=False)
    watcher.plan(len(plan.cells))
    from robeval.engine.executors.execute import execute_all

    found: dict[str, CellRecord] = {}
    for cell, record, cached in execute_all(plan, evaluator, debug=debug):
        found[cell.id] = record
        outcome.records = [found[c.id] for c in plan.cells if c.id in found]
        outcome.from_cache += cached
        watcher.finished_cell(_told(cell, record), cached=cached)
        watcher.recorded(record)
    note(complete=True)
    return outcome


def guarded(evaluator: Evaluator, cell: Cell, *, debug: bool) -> tuple[CellRecord, bool]:
    """The cell's record and whether it was there already; a failure becomes a record and a line, not an exception."""
    try:
        with time_limit(evaluator.experiment.execution.cell_timeout, str(cell)):
            return evaluator.execute(cell)
    except UsageError:
        # The same mistake would meet every cell: say it once and stop.
        raise
    except (Exception, SystemExit, TimedOut) as error:
        # A plugin that calls sys.exit fails its cell, not the run.
        if debug:
            raise
        why = str(error) if isinstance(error, TimedOut) else reason(error)
        record = blank_record(cell, evaluator.catalog, status="failed", error=why)
        evaluator.folder.keep_cell("failed", record, {})
        evaluator.watcher.say(f"failed: {cell}: {why}")
        return record, False


def _told(cell: Cell, record: CellRecord) -> str:
    if record.status != "done":
        return f"{cell}: {record.status}"
    name, figure = next(iter(record.metrics.items()), ("", None))
    value = "" if figure is None or figure.value is None else f": {name} {figure.value:.2f} {figure.unit}"
    mark = "" if record.verdict == "ok" else f" [{record.verdict}]"
    return f"{cell}{value.rstrip()}{mark}"


@contextmanager
def answering_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Interrupted at once, also inside Lightning; a second one ends the process.

    Lightning alone would answer SIGTERM by failing the training in hand, and the run would go on to the next cell.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Interrupted(number)

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
