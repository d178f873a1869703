"""What is said while a run works."""

import io

import pytest
from rich.console import Console

from robeval.engine import progress
from robeval.engine.progress import LiveBars, PlainLines, watcher_for


def lines(watcher_console: Console) -> str:
    """What was printed so far."""
    stream = watcher_console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    """Each finished cell is a line with its place, source and the time it took; no control characters."""
    console = Console(file=io.StringIO(), width=200)
    watcher = watcher_for(console)
    assert isinstance(watcher, PlainLines)
    with watcher:
        watcher.plan(2)
        with watcher.task("training lstm"):
            watcher.advance(1, 10, "steps")
        watcher.finished_cell("search vs none: ade 3.00 m", cached=True)
    text = lines(console)
    assert "training lstm" in text
    assert "[1/2] search vs none: ade 3.00 m [from cache]" in text
    assert "elapsed" in text
    assert "\x1b" not in text


def test_the_time_left_is_not_that_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cell trains the victim that the others share: they take as long as the second, and it says so."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    pace = progress.Pace(5)
    said = []
    for at in (300.0, 310.0, 320.0, 342.0, 343.0):
        now[0] = at
        said.append(pace.tick())
    assert said == ["", "about 30 s left", "about 20 s left", "about 14 s left", ""]


def test_a_long_piece_of_work_says_how_far_it_is() -> None:
    """Plain lines tell steps done of all, no more often than asked."""
    console = Console(file=io.StringIO(), width=200)
    watcher = PlainLines(console, every_s=0.0)
    with watcher.task("attacking"):
        watcher.advance(3, 7, "examples")
    assert "attacking: 3/7 examples" in lines(console)
    silent = PlainLines(Console(file=io.StringIO()), every_s=1000.0)
    with silent.task("attacking"):
        silent.advance(3, 7, "examples")
    assert "3/7" not in lines(silent.console)


def test_what_workers_are_at_is_said_now_and_then() -> None:
    """Plain lines: every worker's task with its seconds, no more often than asked."""
    console = Console(file=io.StringIO(), width=200)
    watcher = PlainLines(console, every_s=0.0)
    watcher.in_hand({"victim small (seed 0)": 31.2, "search vs none": 4.0})
    assert "in hand: victim small (seed 0) for 31 s; search vs none for 4 s" in lines(console)
    silent = PlainLines(Console(file=io.StringIO()), every_s=1000.0)
    silent.in_hand({"search vs none": 4.0})
    assert lines(silent.console) == ""


def test_a_terminal_gets_live_bars() -> None:
    """Run and current work are both on the screen, with the unit and the passes so far."""
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    watcher = watcher_for(console)
    assert isinstance(watcher, LiveBars)
    with watcher:
        watcher.plan(3)
        with watcher.task("search vs smoothing on lstm"):
            watcher.passes(12_000)
            watcher.advance(5, 9, "examples")
            watcher._bars.refresh()
            watcher.in_hand({"search vs none": 4.0})
            watcher._bars.refresh()
        watcher.finished_cell("done", cached=False)
        watcher._bars.refresh()
    text = lines(console)
    for word in ("search vs smoothing", "5/9", "examples", "12 k passes", "for 4 s", "1/3"):
        assert word in text
