"""A matrix laid out in fixed columns: as wide as the terminal allows, never with a figure cut short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from rich.text import Text

from robeval.report.heat import SHADES, STYLES, Heat
from robeval.report.matrix import Entry, Matrix, Row
from robeval.report.numbers import bounds, half_width, number
from robeval.results.records import Figure, MetricRecord

MARK_STYLES = {"suspicious": "bold #5c4400 on #dcdcdc", "invalid": "bold #a00000 on #dcdcdc"}
STATUS_STYLES = {"failed": "bold red", "missing": "yellow", "n/a": "dim"}
_LONGEST_HEADER_PIECE = 12
_SHORTEST_LABEL = 12
_GAP = 1


Mode = Literal["range", "half", "tall"]
"""``4.06 [3.87, 4.25]`` where there is room, else ``4.06 ±0.19``, else the ± below the value."""


@dataclass(frozen=True)
class Layout:
    """Widths that fit."""

    mode: Mode
    label: int
    columns: tuple[int, ...]
    value: int
    interval: int
    one_line_labels: bool


def usual_n(matrix: Matrix) -> int | None:
    """The n of most cells."""
    counts = Counter(e.figure.n for e in matrix.entries.values() if e.figure is not None)
    return counts.most_common(1)[0][0] if counts else None


def drawn(matrix: Matrix, heat: Heat | None, passes: dict[Row, str], width: int) -> list[list[Text]]:
    """The matrix as blocks of lines; more than one block when its columns do not fit side by side."""
    return [
        list(_block(matrix, heat, passes, names, layout))
        for names, layout in _arranged(matrix, passes, width)
    ]


def pieces(text: str, width: int) -> list[str]:
    """`text` broken at its own joints (``-``, ``:``, ``,``, ``/``, spaces) into lines of at most `width`."""
    lines = [""]
    for part in re.findall(r"[^-:,/ ]*[-:,/ ]?", text):
        while len(lines[-1]) + len(part.rstrip()) > width:
            room = width if not lines[-1] else 0
            if room:  # a single part that is longer than a line
                lines[-1], part = part[:room], part[room:]
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines if line.strip()] or [""]


def _arranged(matrix: Matrix, passes: dict[Row, str], width: int) -> Iterator[tuple[tuple[str, ...], Layout]]:
    modes: tuple[Mode, ...] = ("range", "half", "tall")
    for mode in modes:
        layout = _layout(matrix, matrix.columns, passes, width, mode)
        if layout is not None:
            yield matrix.columns, layout
            return
    names = list(matrix.columns)
    while names:
        fitting = (k for k in range(len(names), 1, -1) if _layout(matrix, names[:k], passes, width, "tall"))
        count = next(fitting, 1)
        chosen, names = tuple(names[:count]), names[count:]
        # A single column is shown whatever the width: figures are never cut.
        room = width
        while (layout := _layout(matrix, chosen, passes, room, "tall")) is None:
            room += 1
        yield chosen, layout


def _layout(
    matrix: Matrix, names: Sequence[str], passes: dict[Row, str], width: int, mode: Mode
) -> Layout | None:
    shown = [e.figure for e in matrix.entries.values() if e.figure is not None]
    value = max((len(number(f.value, matrix.metric)) for f in shown), default=1)
    interval = max((len(_interval(f, matrix.metric, mode)) for f in shown), default=0)
    inside = max(value + 2, interval) if mode == "tall" else value + 1 + interval + 2
    cell = max(2 + inside, len("missing") + 2)
    most = max(_LONGEST_HEADER_PIECE, cell)
    called = matrix.column_names()
    columns = [max(cell, *map(len, pieces(called[name], most))) for name in names]
    cost = _cost_width(passes)
    left = width - sum(columns) - _GAP * (len(columns) + 1) - cost
    rows = matrix.row_names()
    longest = max(len(line) for row in matrix.rows for line in (rows[row], "  " + row.grant))
    if left < min(longest, _SHORTEST_LABEL if mode == "tall" else 16):
        return None
    in_full = max(len(f"{rows[row]} {row.grant}") for row in matrix.rows)
    one_line = mode != "tall" and in_full <= left
    label = in_full if one_line else min(longest, left)
    return Layout(mode, label, (*columns, cost), value, interval, one_line)


def _interval(figure: Figure, metric: MetricRecord, mode: Mode) -> str:
    return bounds(figure, metric) if mode == "range" else half_width(figure, metric)


def _cost_width(passes: dict[Row, str]) -> int:
    return max(len("example"), *(len(text) for text in passes.values())) if passes else 0


def _block(
    matrix: Matrix, heat: Heat | None, passes: dict[Row, str], names: Sequence[str], layout: Layout
) -> Iterator[Text]:
    *widths, cost = layout.columns
    called, rows = matrix.column_names(), matrix.row_names()
    heads = [pieces(called[name], size) for name, size in zip(names, widths, strict=True)]
    heads.append(["passes/", "example"])
    depth = max(map(len, heads))
    heads = [[""] * (depth - len(head)) + head for head in heads]
    corner = [""] * (depth - 1) + ["attack \\ defense" if layout.label >= 16 else "attack"]
    for k in range(depth):
        line = Text(corner[k].ljust(layout.label), style="dim")
        for head, size in zip(heads[:-1], widths, strict=True):
            line.append(" " * _GAP + head[k].ljust(size), style="bold not dim")
        line.append(" " * _GAP + heads[-1][k].rjust(cost), style="not bold")
        yield line
    rule = layout.label + sum(layout.columns) + _GAP * len(layout.columns)
    yield Text("─" * rule, style="dim")
    usual = usual_n(matrix)
    for row in matrix.rows:
        label = _label(rows[row], row.grant, layout)
        cells = [
            _cell(matrix[row, name], matrix, heat, layout, usual)
            if matrix.was_asked((row, name))
            else [Text("  ·", style="dim")]
            for name in names
        ]
        yield from _side_by_side(label, cells, widths, Text(passes.get(row, "").rjust(cost)), layout)


def _label(name: str, grant: str, layout: Layout) -> list[Text]:
    if layout.one_line_labels:
        return [Text.assemble((name, "bold"), " ", (grant, "dim"))]
    lines = [Text(part, style="bold") for part in pieces(name, layout.label)]
    return lines + [Text(f"  {part}", style="dim") for part in pieces(grant, layout.label - 2) if part]


def _side_by_side(
    label: list[Text], cells: list[list[Text]], widths: Sequence[int], cost: Text, layout: Layout
) -> Iterator[Text]:
    """One row of the matrix; colour fills the cells' lines, lines that only the label needs stay plain."""
    height = max(map(len, cells))
    for k, (name, *parts) in enumerate(zip_longest(label, *cells)):
        line = Text()
        line.append_text(name or Text())
        line.pad_right(layout.label - len(line.plain))
        for part, cell, size in zip(parts, cells, widths, strict=True):
            line.append(" " * _GAP)
            fill = cell[0].style if k < height else ""
            text = part.copy() if part is not None else Text("", style=fill)
            text.pad_right(size - len(text.plain))
            line.append_text(text)
        if k == 0:
            line.append(" " * _GAP)
            line.append_text(cost)
        yield line
    if layout.mode == "tall":
        yield Text()


def _cell(entry: Entry, matrix: Matrix, heat: Heat | None, layout: Layout, usual: int | None) -> list[Text]:
    if entry.status != "done":
        return [Text(f"  {entry.status}", style=STATUS_STYLES[entry.status])]
    figure = entry.figure
    if figure is None:
        return [Text("  –", style="dim")]
    trusted = entry.verdict == "ok" and figure.value is not None
    level = heat.level(figure.value) if heat and trusted and figure.value is not None else None
    style = STYLES[level] if level is not None else MARK_STYLES.get(entry.verdict, "")
    shade = SHADES[level] if level is not None else " "
    value = number(figure.value, matrix.metric).rjust(layout.value)
    interval = _interval(figure, matrix.metric, layout.mode)
    mark = f" {entry.mark}" if entry.mark else ""
    extra = [f"  n {figure.n}"] if figure.n != usual else []
    if layout.mode == "tall":
        lines = [f"{shade} {value}{mark}", f"  {interval.rjust(layout.value)}", *extra]
    else:
        aligned = (
            interval.ljust(layout.interval) if layout.mode == "range" else interval.rjust(layout.interval)
        )
        lines = [f"{shade} {value} {aligned}{mark}", *extra]
    return [Text(line, style=style) for line in lines]
