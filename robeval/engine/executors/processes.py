"""Workers in processes of their own, on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Collection
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from robeval.engine.executors.schedule import Lost, Pool
from robeval.engine.executors.worker import Answer, Job, Task, Worker
from robeval.engine.helper_process import belong_to_the_main_process

PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Handle:
    """A worker process and the line to it."""

    process: BaseProcess
    line: Connection


class Processes(Pool[Handle]):
    """Spawned processes: nothing is inherited that a fork would share half-way (threads, locks, CUDA)."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self.context = multiprocessing.get_context("spawn")
        self.handles: list[Handle] = []

    def start(self) -> Handle:
        """A process with its own journal."""
        mine, theirs = self.context.Pipe()
        job = replace(self.job, number=len(self.handles) + 1)
        process = self.context.Process(target=serve, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()
        handle = Handle(process, mine)
        self.handles.append(handle)
        return handle

    def give(self, worker: Handle, task: Task) -> None:
        """Send the task; a worker that is gone already is noticed when it is waited for."""
        with contextlib.suppress(OSError):
            worker.line.send(task)

    def wait(self, busy: Collection[Handle], patience_s: float) -> tuple[Handle, Answer | Lost] | None:
        """The first that answers or dies."""
        lines = {handle.line: handle for handle in busy}
        ends = {handle.process.sentinel: handle for handle in busy}
        ready = wait([*lines, *ends], patience_s)
        if not ready:
            return None
        for line in ready:
            if line in lines:
                handle = lines[line]
                try:
                    return handle, handle.line.recv()
                except (EOFError, OSError):
                    return handle, self._lost(handle)
        handle = ends[ready[0]]  # type: ignore[index]
        return handle, self._lost(handle)

    def _lost(self, handle: Handle) -> Lost:
        handle.process.join(PATIENCE_S)
        code = handle.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            hint = "; out of memory?" if name == "SIGKILL" else ""
            return Lost(f"its worker process was killed by {name}{hint}")
        return Lost(f"its worker process ended with exit code {code}")

    def close(self) -> None:
        """End them all; what they have journalled stays."""
        for handle in self.handles:
            handle.process.kill()
        for handle in self.handles:
            handle.process.join(PATIENCE_S)
            handle.line.close()


def serve(job: Job, line: Connection) -> None:
    """A worker's whole life."""
    belong_to_the_main_process()
    worker = Worker(job)
    while True:
        try:
            task = line.recv()
        except (EOFError, OSError):
            return
        line.send(worker.answer(task))
