"""Several ways of doing the same work, timed in turns in one process, in CPU seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    *,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of every way in every round. Load and clock changes hit all ways of a round alike.

    CPU seconds of this process unless another clock is given. Every second round goes backwards, so that no way
    always comes after the same neighbour; one call of each beforehand is not counted.
    """
    if warm_up:
        for work in ways.values():
            work()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            began = clock()
            ways[name]()
            found[name].append(clock() - began)
    return found


def say(text: str) -> None:
    """A line of progress."""
    print(f"    {text}", file=sys.stderr, flush=True)
