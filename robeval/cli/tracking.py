"""`--logger`: a run told to experiment trackers, reports and pictures included."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from robeval.errors import RobevalError

if TYPE_CHECKING:
    from robeval.engine.plan import Plan
    from robeval.engine.progress import Watcher

MOST_CELLS = 24
"""Cells up to which their examples are drawn for the trackers; the HTML report holds a choice of any run's."""


@contextmanager
def tracked(plan: Plan, folder: Path, watcher: Watcher, command: str) -> Iterator[None]:
    """What happens inside is told to the experiment's trackers. Raises MissingExtra before anything runs."""
    kinds = plan.experiment.execution.loggers
    if not kinds:
        yield
        return
    from robeval.engine.trackers import Trackers

    beside = folder if "://" not in str(folder) else Path("runs") / folder.name
    trackers = Trackers.of(kinds, beside / "loggers", folder.name, watcher.say)
    trackers.expect(plan, command)
    watcher.listeners.append(trackers.cell)
    status = "failed"
    try:
        yield
        status = "success"
    finally:
        watcher.listeners.remove(trackers.cell)
        with tempfile.TemporaryDirectory() as place:
            files = _files(folder, Path(place), watcher) if status == "success" and trackers.trackers else []
            trackers.end(files, status)


def _files(folder: Path, place: Path, watcher: Watcher) -> list[Path]:
    """The reports of a finished run, and the pictures of a small one."""
    from robeval.report.pictures import write_pictures
    from robeval.report.render import render
    from robeval.report.summary import read_run

    written = []
    for format, name in (("html", "report.html"), ("markdown", "report.md"), ("json", "summary.json")):
        path = place / name
        path.write_text(render(folder, format), encoding="utf-8")
        written.append(path)
    try:
        if len(read_run(folder).cells) <= MOST_CELLS:
            written += write_pictures(folder, place / "pictures")
    except RobevalError as error:
        watcher.say(f"no pictures for --logger: {error}")
    return written
