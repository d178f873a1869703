"""Pictures of single examples: of every cell the worst, the median and the best by the headline figure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from robeval.errors import UsageError
from robeval.report.matrix import row_of
from robeval.report.numbers import number, unit_of
from robeval.report.summary import metrics_of, read_run
from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, MetricRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PictureFormat = Literal["png", "svg"]


def write_pictures(folder: Path, out: Path, format: PictureFormat = "png") -> list[Path]:
    """Draw the chosen examples of every finished cell into `out`; the files written.

    Victims come from the cache or are trained again, so this, unlike the rest of a report, needs torch.
    Raises UsageError when the domain draws no pictures, StoreError when the run cannot be read.
    """
    summary = read_run(folder)
    headline = next(iter(metrics_of(summary)), None)
    if headline is None:
        raise UsageError(f"{folder} has no figures yet, so no example is its worst. Finish the run first.")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for cell in summary.cells:
        if cell.status != "done" or cell.certified:
            continue
        for rank, example, value in chosen_examples(folder, cell, headline):
            figure = f"{headline.name} {number(value, headline)} {unit_of(headline)}".rstrip()
            title = f"{row_of(cell)} vs {cell.defense}: {rank}, {figure}"
            path = out / f"{_file_name(cell)}-{rank}.{format}"
            _save(_drawn(folder, cell.id, example, title), path, format)
            written.append(path)
    return written


def chosen_examples(folder: Path, cell: CellRecord, metric: MetricRecord) -> Iterator[tuple[str, str, float]]:
    """A cell's worst, median and best example for the defender: (rank, example, value), each example once.

    Invalid examples are left out.
    """
    table = read_examples(folder, cell.id, (metric.column,), texts=("example", "status"))
    values = table[metric.column]
    known = np.flatnonzero(~np.isnan(values) & (table["status"] == "ok"))
    if not len(known):
        return
    # Ties are settled by name, so that the same run always shows the same examples.
    order = known[np.lexsort((table["example"][known], values[known]))]
    if metric.direction == "lower":
        order = order[::-1]
    places = {"worst": 0, "median": len(order) // 2, "best": len(order) - 1}
    seen: set[int] = set()
    for rank, place in places.items():
        if place not in seen:
            seen.add(place)
            yield rank, str(table["example"][order[place]]), float(values[order[place]])


def _drawn(folder: Path, cell_id: str, example: str, title: str) -> Figure:
    from robeval.engine.replay import trial

    domain, judged = trial(folder, cell_id, [example])
    try:
        return domain.picture(judged, title)
    except NotImplementedError as error:
        raise UsageError(f"{error}. Leave out --pictures.") from None


def _save(figure: Figure, path: Path, format: PictureFormat) -> None:
    import matplotlib

    # A fixed salt and no date: the same run gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "robeval"}):
        figure.savefig(path, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
    figure.clear()


def _file_name(cell: CellRecord) -> str:
    row = row_of(cell)
    parts = [
        row.name,
        *([] if row.is_clean else [f"{cell.budget.value:g}", cell.knowledge]),
        "vs",
        cell.defense,
    ]
    text = re.sub(r"[^A-Za-z0-9.=+]+", "-", "-".join(parts)).strip("-")
    return f"{text[:100]}-seed{cell.seed}-{cell.id}"
