"""The runs of a folder, as a list and by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robeval.errors import RobevalError, UsageError
from robeval.report.findings import progress
from robeval.report.summary import read_run
from robeval.results.audit import NAME as AUDIT
from robeval.results.places import mirror_of


@dataclass(frozen=True)
class Listed:
    """A run as the list shows it; `problem` says why it cannot be read."""

    name: str
    domain: str = ""
    scenario: str = ""
    progress: str = ""
    started: str = ""
    is_complete: bool = True
    marked: int = 0
    """Cells that are suspicious or invalid."""
    problem: str = ""


def bring(home: Path, *, pictures: bool) -> None:
    """Where `home` mirrors a URL: all that is there now. Raises StoreError."""
    mirror = mirror_of(home)
    if mirror is None:
        return
    left_out = ("chunks",) if pictures else ("chunks", "artifacts")
    mirror.update(lambda name: not any(part in left_out for part in name.split("/")[:-1]))


def run_folders(home: Path) -> dict[str, Path]:
    """The folders right under `home` that hold a run, by name. Raises UsageError when `home` is no folder."""
    try:
        return {path.name: path for path in sorted(home.iterdir()) if (path / "run.json").is_file()}
    except OSError as error:
        raise UsageError(
            f"{home} cannot be listed ({error.strerror}). Give the folder that holds your runs, often: runs"
        ) from None


def listed(home: Path) -> list[Listed]:
    """All runs, the latest first; one that cannot be read is listed with the reason."""
    return sorted(map(_listed, run_folders(home).values()), key=lambda run: run.started, reverse=True)


def _listed(folder: Path) -> Listed:
    try:
        summary = read_run(folder)
    except RobevalError as error:
        return Listed(folder.name, problem=str(error))
    cells = summary.cells
    scenarios = dict.fromkeys(f"{cell.dataset} · {cell.victim}" for cell in cells)
    return Listed(
        name=folder.name,
        domain=next((cell.domain for cell in cells), ""),
        scenario=", ".join(scenarios),
        progress=progress(summary),
        started=summary.run.started,
        is_complete=summary.run.complete,
        marked=sum(cell.verdict != "ok" for cell in cells if cell.status == "done"),
    )


def state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes whenever the run does: times and sizes of the files that a report is made from."""
    files = [folder / name for name in ("run.json", "journal.jsonl", AUDIT, "cells", "examples")]
    files += sorted((folder / "cells").glob("*.json"))
    found = [(path.name, path.stat()) for path in files if path.exists()]
    return tuple((name, about.st_mtime_ns, about.st_size) for name, about in found)
