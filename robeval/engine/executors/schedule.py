"""Which worker does what, and what happens when one is lost; the same for every kind of worker."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Generic, NamedTuple, TypeVar

from robeval.engine.executors.worker import Answer, Task

H = TypeVar("H")

TRIES = 2
"""A task whose worker was lost is tried once more."""

BEAT_S = 1.0
"""How often it is told what is in hand."""


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
    def wait(self, busy: Collection[H], patience_s: float) -> tuple[H, Answer | Lost] | None:
        """The next worker that is done or lost; None when there is none for so many seconds."""

    @abstractmethod
    def close(self) -> None:
        """Stop every worker now."""


def schedule(
    pool: Pool[H],
    tasks: Mapping[Task, Collection[Task]],
    workers: int,
    tell: Callable[[Mapping[Task, float]], None] = lambda in_hand: None,
) -> Iterator[Answer | Failed]:
    """Every task done by some worker, after those that it needs; results as they come.

    `tasks` maps each to its needs. One that failed holds nobody up: what needed it meets the same fault, and says so.
    Workers are started as they are needed.
    `tell` hears what is in hand, and for how many seconds, every BEAT_S while nothing is finished.
    """
    order = TopologicalSorter(tasks)
    order.prepare()
    waiting = deque(order.get_ready())
    tries: Counter[Task] = Counter()
    busy: dict[H, tuple[Task, float]] = {}
    """What each has, and since when."""
    while waiting or busy:
        while waiting and len(busy) < workers:
            worker = pool.idle.pop() if pool.idle else pool.start()
            task = waiting.popleft()
            tries[task] += 1
            pool.give(worker, task)
            busy[worker] = task, time.monotonic()
        found = pool.wait(busy, BEAT_S)
        if found is None:
            now = time.monotonic()
            tell({task: now - since for task, since in busy.values()})
            continue
        worker, result = found
        task, _ = busy.pop(worker)
        if isinstance(result, Answer):
            pool.idle.append(worker)
        elif tries[task] < TRIES:
            waiting.appendleft(task)
            continue
        order.done(task)
        waiting.extend(order.get_ready())
        yield result if isinstance(result, Answer) else Failed(task, result.reason)
