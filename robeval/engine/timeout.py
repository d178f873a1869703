"""A limit on how long a cell, or a training, may take.

A timer signal interrupts the main thread, so Python code (sleeps, loops, training steps, loops of tensor operations)
stops within moments. What cannot be stopped is one call that stays inside compiled code: it ends first, and
then the limit is noticed. Without POSIX timers, or outside the main thread, nothing is limited, and a warning says so.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from robeval.engine.blame import place_of

REPEAT_S = 5.0
"""A plugin that swallows the interruption (a bare `except:` in its loop) is interrupted again."""
BUSY_S = 0.05
_WRITING = (str(Path(__file__).parents[1] / "results"), str(Path(__file__).with_name("cache.py")))
"""Code that must not be stopped half-way: what is on disk, and what the process believes to be there."""


class TimedOut(BaseException):
    """The limit was reached. Not an Exception: a plugin's `except Exception` must not swallow it."""

    def __init__(self, seconds: float, what: str, where: str = "") -> None:
        super().__init__(seconds, what, where)
        self.seconds, self.what, self.where = seconds, what, where

    def __str__(self) -> str:
        place = f", stopped at {self.where}" if self.where else ""
        return f"timed out: {self.what} took longer than --cell-timeout {self.seconds:g} s{place}"


@contextmanager
def time_limit(seconds: float | None, what: str) -> Iterator[None]:
    """Raises TimedOut inside the block once `seconds` have passed; None sets no limit.

    Inside another limit this one counts alone: the outer clock stands still meanwhile.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        warnings.warn(
            "--cell-timeout needs the main thread of a POSIX process; nothing is limited here", stacklevel=3
        )
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        if _is_writing(frame):
            signal.setitimer(signal.ITIMER_REAL, BUSY_S, REPEAT_S)
            return
        raise TimedOut(seconds, what, place_of(frame))

    before = signal.signal(signal.SIGALRM, ring) or signal.SIG_DFL
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_S)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            is_ours = getattr(before, "__module__", "") == __name__
            elapsed = 0.0 if is_ours else time.monotonic() - began
            signal.setitimer(signal.ITIMER_REAL, max(left - elapsed, 0.001), interval)


def _is_writing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_WRITING):
            return True
        frame = frame.f_back
    return False
