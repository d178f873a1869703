"""Two ways of doing the same work, timed in turns in one process, in CPU seconds."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Pair(NamedTuple):
    """The slow way and ours, and how many units of work a call of each does."""

    theirs: Callable[[], object]
    ours: Callable[[], object]
    their_units: int
    our_units: int


class Ratio(NamedTuple):
    """CPU milliseconds per unit of each way, and how many times ours is cheaper: median, lowest, highest."""

    their_ms: float
    our_ms: float
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """One line of a table."""
        return (
            f"{self.their_ms:8.3f} ms  {self.our_ms:8.4f} ms  "
            f"{self.median:6.0f} x  ({self.low:.0f} to {self.high:.0f})"
        )


def measure(pairs: Mapping[str, Pair], repeats: int = 5) -> dict[str, Ratio]:
    """Each pair `repeats` times in turns, so that load and clock changes hit both ways alike.

    One call of each beforehand is not counted.
    """
    found: dict[str, Ratio] = {}
    for name, pair in pairs.items():
        pair.theirs(), pair.ours()
        rounds = [
            (_cpu_ms(pair.theirs) / pair.their_units, _cpu_ms(pair.ours) / pair.our_units)
            for _ in range(repeats)
        ]
        ratios = [theirs / ours for theirs, ours in rounds]
        found[name] = Ratio(
            statistics.median(theirs for theirs, _ in rounds),
            statistics.median(ours for _, ours in rounds),
            statistics.median(ratios),
            min(ratios),
            max(ratios),
        )
    return found


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3
