"""Reading a run folder: records only, so a report needs neither the victims nor torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from robeval.errors import MissingFile, StoreError, UsageError, nearest
from robeval.results.audit import read_audit, with_audit
from robeval.results.places import is_url
from robeval.results.reading import brought
from robeval.results.records import SCHEMA, CellRecord, MetricRecord, RunRecord, Summary

RUNS = Path("runs")
R = TypeVar("R", bound=BaseModel)


def find_run(run: str | Path) -> Path:
    """The folder of a run that is given by its path, its URL, or its name under ./runs.

    Raises UsageError with the nearest names when there is none.
    """
    if is_url(run):
        folder = brought(run)
        if (folder / "run.json").is_file():
            return folder
        raise UsageError(f"there is no run at {run}: no run.json. Make one with: robeval run --out {run}")
    for folder in (Path(run), RUNS / run):
        if (folder / "run.json").is_file():
            return folder
    given = Path(run)
    known = sorted(path.parent.name for path in RUNS.glob("*/run.json"))
    if given.exists():
        raise UsageError(
            f"{run} is not the folder of a run: it has no run.json. "
            "Give the folder that `robeval run --out DIR` wrote."
        )
    near = nearest(given.name, known)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    here = f"Runs under ./{RUNS}: {', '.join(known)}." if known else f"There are no runs under ./{RUNS}."
    raise UsageError(
        f"no run '{run}'.{hint}\n{here} Give a name from there or a path; make one with: robeval run"
    )


def read_run(folder: Path) -> Summary:
    """Everything that a run's records say. Cells without a record yet are left out.

    Raises MissingFile without a run.json, StoreError when a record cannot be read.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise MissingFile(path, "A run folder is made by: robeval run --out DIR")
    run = _record(path, RunRecord)
    files = [folder / "cells" / f"{cell}.json" for cell in run.cells]
    cells = [_record(file, CellRecord) for file in files if file.is_file()]
    return Summary(run=run, environment=run.environment, cells=with_audit(cells, read_audit(folder)))


def _record(path: Path, kind: type[R]) -> R:
    try:
        content = json.loads(path.read_bytes())
        version = content.get("schema", SCHEMA)
        if version != SCHEMA:
            raise StoreError(
                f"{path} has schema {version}; this robeval reads {SCHEMA}. Use a matching version."
            )
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}"
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error)
    raise StoreError(
        f"{path} cannot be read ({reason}). Run the same command again: it rebuilds what is damaged."
    )


def metrics_of(summary: Summary) -> list[MetricRecord]:
    """The run's metrics, the headline first; from the figures themselves where run.json lists none."""
    if summary.run.metrics:
        return list(summary.run.metrics)
    found: dict[str, MetricRecord] = {}
    for cell in summary.cells:
        for name, figure in cell.metrics.items():
            record = MetricRecord(name=name, unit=figure.unit, direction=figure.direction, column=name)
            found.setdefault(name, record)
    return list(found.values())


def chosen_metrics(summary: Summary, names: Sequence[str] | None) -> list[MetricRecord]:
    """The metrics of these names, or the headline when none is named; "all" stands for all.

    Raises UsageError for an unknown name, with the nearest.
    """
    known = {metric.name: metric for metric in metrics_of(summary)}
    if not names:
        return list(known.values())[:1]
    if "all" in names:
        return list(known.values())
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise UsageError(f"this run has no metric '{name}'.{hint}\nIt has: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
