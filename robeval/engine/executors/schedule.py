"""Which worker does what, and what happens when one is lost; the same for every kind of worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from robeval.engine.executors.worker import Answer, Task

H = TypeVar("H")

TRIES = 2
"""A task whose worker was lost is tried once more."""


class Lost(NamedTuple):
    """A worker is gone, and the task that it had."""

    reason: str


class Failed(NamedTuple):
    """A task that lost its worker every time."""

    task: Task
    reason: str


class Pool(ABC, Generic[H]):
    """Workers of one kind."""

    most: int | None = None
    """More than so many cannot work at once."""

    def __init__(self) -> None:
        self.idle: list[H] = []

    @abstractmethod
    def start(self) -> H:
        """A new worker."""

    @abstractmethod
    def give(self, worker: H, task: Task) -> None:
        """Let an idle worker do a task."""

    @abstractmethod
    def wait(self, busy: Sequence[H]) -> tuple[H, Answer | Lost]:
        """The next worker that is done or lost."""

    @abstractmethod
    def close(self) -> None:
        """Stop every worker now."""


def schedule(pool: Pool[H], tasks: Sequence[Task], workers: int) -> Iterator[Answer | Failed]:
    """Every task done by some worker, results as they come. Workers are started as they are needed."""
    waiting = deque(tasks)
    tries: Counter[Task] = Counter()
    busy: dict[H, Task] = {}
    while waiting or busy:
        while waiting and len(busy) < workers:
            worker = pool.idle.pop() if pool.idle else pool.start()
            task = waiting.popleft()
            tries[task] += 1
            pool.give(worker, task)
            busy[worker] = task
        worker, result = pool.wait(list(busy))
        task = busy.pop(worker)
        if isinstance(result, Answer):
            pool.idle.append(worker)
            yield result
        elif tries[task] < TRIES:
            waiting.appendleft(task)
        else:
            yield Failed(task, result.reason)
