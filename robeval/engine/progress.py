"""What a person sees while a run works: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import MofNCompleteColumn as Count

if TYPE_CHECKING:
    from robeval.results.records import CellRecord


class Watcher:
    """Told what the engine does; this one keeps quiet. Faces override `say` and `_show`."""

    def __init__(self) -> None:
        self.label = ""
        self.listeners: list[Callable[[CellRecord], None]] = []
        """Told of every record as it comes."""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        return None

    def plan(self, cells: int) -> None:
        """How many cells are to be done."""

    def finished_cell(self, text: str, *, cached: bool) -> None:
        """One more cell is done."""

    def recorded(self, record: CellRecord) -> None:
        """One more record is there: done, failed or from the cache."""
        for listener in self.listeners:
            listener(record)

    @contextmanager
    def task(self, label: str) -> Iterator[None]:
        """A named piece of work inside which `advance` counts."""
        before, self.label = self.label, label
        self.started(label)
        try:
            yield
        finally:
            self.label = before

    def started(self, label: str) -> None:
        """A named piece of work begins."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """How far the current piece of work is."""

    def in_hand(self, seconds: Mapping[str, float]) -> None:
        """What the workers are at, and for how many seconds already."""

    def passes(self, count: int) -> None:
        """How many rows the current attack has pushed through the victim."""

    def say(self, text: str) -> None:
        """A line worth reading now."""


class Pace:
    """How long the rest of a run will take, from the cells that are finished."""

    def __init__(self, cells: int) -> None:
        self.cells, self.done = cells, 0
        self._began = self._last = time.monotonic()
        self._longest = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def tick(self) -> str:
        """One more cell is finished: what is left, in words; nothing while it cannot be told.

        The longest cell is left out: it is the one that a victim was trained for, which the others share.
        """
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        self.done += 1
        if not 1 < self.done < self.cells:
            return ""
        usual = (now - self._began - self._longest) / (self.done - 1)
        return f"about {usual * (self.cells - self.done):.0f} s left"


class PlainLines(Watcher):
    """For logs: a line when a piece of work starts and, at most every ten seconds, how far it is."""

    def __init__(self, console: Console, every_s: float = 10.0) -> None:
        super().__init__()
        self.console, self.every_s = console, every_s
        self._last = time.monotonic()
        self._pace = Pace(0)

    def plan(self, cells: int) -> None:
        self._pace = Pace(cells)

    def finished_cell(self, text: str, *, cached: bool) -> None:
        left = self._pace.tick()
        source = " [from cache]" if cached else ""
        place = f"[{self._pace.done}/{self._pace.cells}] {text}{source}"
        self.say(f"{place} · {self._pace.elapsed:.0f} s elapsed{', ' if left else ''}{left}")

    def started(self, label: str) -> None:
        self.say(label)

    def advance(self, done: int, total: int, unit: str) -> None:
        self._now_and_then(f"  {self.label}: {done}/{total} {unit}")

    def in_hand(self, seconds: Mapping[str, float]) -> None:
        self._now_and_then(f"  in hand: {_in_hand(seconds)}")

    def _now_and_then(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= self.every_s:
            self._last = now
            self.say(text)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveBars(Watcher):
    """For terminals: one bar for the run, one for the work in hand."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            Count(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            refresh_per_second=5,
        )
        self._run: TaskID | None = None
        self._work = self._bars.add_task("", total=None, unit="", left="", visible=False)
        self._pace = Pace(0)
        self._passes = 0

    def __enter__(self) -> LiveBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._bars.stop()

    def plan(self, cells: int) -> None:
        if self._run is not None:
            self._bars.remove_task(self._run)
        self._run = self._bars.add_task("run", total=cells, unit="cells", left="")
        self._pace = Pace(cells)

    def finished_cell(self, text: str, *, cached: bool) -> None:
        if self._run is None:
            return
        self._bars.update(self._run, advance=1, left=self._pace.tick())
        self._bars.update(self._work, visible=False)

    def started(self, label: str) -> None:
        self._passes = 0
        self._bars.reset(self._work, description=_short(label), total=None, unit="", left="", visible=True)

    def advance(self, done: int, total: int, unit: str) -> None:
        self._bars.update(self._work, completed=done, total=total, unit=unit, visible=True)

    def in_hand(self, seconds: Mapping[str, float]) -> None:
        self._bars.update(self._work, left=_short(_in_hand(seconds), 80))

    def passes(self, count: int) -> None:
        self._bars.update(self._work, left=f"{_si(count)} passes")

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)


def watcher_for(console: Console) -> Watcher:
    """Live bars on a terminal, plain lines elsewhere."""
    return LiveBars(console) if console.is_terminal else PlainLines(console)


def _in_hand(seconds: Mapping[str, float]) -> str:
    return "; ".join(f"{label} for {passed:.0f} s" for label, passed in seconds.items())


def _short(label: str, most: int = 46) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _si(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k" if count >= 1e3 else str(count)
