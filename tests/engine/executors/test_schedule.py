"""Who does what when workers come and go."""

from collections.abc import Collection

import pytest

from robeval.engine.executors.schedule import Failed, Lost, Pool, schedule
from robeval.engine.executors.worker import Answer, Task

TASKS: dict[Task, list[Task]] = {Task("cell", name): [] for name in "abcde"}


class Pretend(Pool[int]):
    """Workers that answer at once; some tasks cost the worker its life a given number of times."""

    def __init__(self, deadly: dict[str, int]) -> None:
        super().__init__()
        self.deadly = dict(deadly)
        self.started = 0
        self.most_busy = 0
        self.slow = 0
        """Waits in which nobody is done."""
        self.has: dict[int, Task] = {}

    def start(self) -> int:
        self.started += 1
        return self.started

    def give(self, worker: int, task: Task) -> None:
        self.has[worker] = task

    def wait(self, busy: Collection[int], patience_s: float) -> tuple[int, Answer | Lost] | None:
        if self.slow:
            self.slow -= 1
            return None
        self.most_busy = max(self.most_busy, len(busy))
        worker = next(iter(busy))
        task = self.has.pop(worker)
        if self.deadly.get(task.name, 0):
            self.deadly[task.name] -= 1
            return worker, Lost("gone")
        return worker, Answer(task, "", None, False)

    def close(self) -> None:
        """Nothing to stop."""


def names(results: list[Answer | Failed]) -> list[str]:
    """The tasks that were answered, sorted."""
    return sorted(result.task.name for result in results if isinstance(result, Answer))


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_task_is_done_once_by_no_more_workers_than_asked(workers: int) -> None:
    """Idle workers are used again, and none is started beyond the number of tasks."""
    pool = Pretend({})
    assert names(list(schedule(pool, TASKS, workers))) == list("abcde")
    assert pool.started == pool.most_busy == min(workers, len(TASKS))


def test_a_lost_workers_task_is_tried_once_more() -> None:
    """One loss costs a new worker and no task."""
    pool = Pretend({"b": 1})
    assert names(list(schedule(pool, TASKS, 2))) == list("abcde")
    assert pool.started == 3


def test_a_task_that_loses_two_workers_fails_and_the_others_go_on() -> None:
    """The second loss is the task's fault."""
    results = list(schedule(Pretend({"b": 2}), TASKS, 2))
    assert names(results) == list("acde")
    assert [(r.task.name, r.reason) for r in results if isinstance(r, Failed)] == [("b", "gone")]


def test_what_is_in_hand_is_told_while_nothing_is_finished() -> None:
    """Every task that a worker has, with the seconds that it has had it."""
    pool = Pretend({})
    pool.slow = 2
    told: list[dict[Task, float]] = []
    assert names(list(schedule(pool, TASKS, 2, lambda in_hand: told.append(dict(in_hand))))) == list("abcde")
    assert [set(in_hand) for in_hand in told] == [set(list(TASKS)[:2])] * 2
    assert all(0 <= first <= second for first, second in zip(told[0].values(), told[1].values(), strict=True))


@pytest.mark.parametrize("deadly", [{}, {"first": 1}, {"first": 2}])
def test_a_task_waits_for_what_it_needs_and_no_longer(deadly: dict[str, int]) -> None:
    """Others go on meanwhile; a need that failed holds nobody up."""
    first, second, free = Task("fit", "first"), Task("fit", "second"), Task("cell", "free")
    after, last = Task("cell", "after"), Task("cell", "last")
    needs: dict[Task, list[Task]] = {
        first: [],
        second: [first],
        after: [first],
        last: [second, first],
        free: [],
    }
    order = [result.task for result in schedule(Pretend(deadly), needs, 2)]
    assert sorted(order) == sorted(needs), "each once"
    for task, wanted in needs.items():
        assert all(order.index(need) < order.index(task) for need in wanted)
    assert order.index(free) < order.index(last)


def test_idle_workers_are_kept_for_the_next_schedule() -> None:
    """Trainings and cells share their workers."""
    pool = Pretend({})
    list(schedule(pool, dict(list(TASKS.items())[:2]), 2))
    list(schedule(pool, TASKS, 2))
    assert pool.started == 2


def test_nothing_to_do_starts_nobody() -> None:
    """No task, no worker."""
    pool = Pretend({})
    assert list(schedule(pool, {}, 3)) == []
    assert pool.started == 0
