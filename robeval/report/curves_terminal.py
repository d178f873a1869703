"""Security curves and the knowledge gap in a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from robeval.report import curves_text as said
from robeval.report.curves import Curve, Point
from robeval.report.gap import Gap
from robeval.report.grid import MARK_STYLES
from robeval.report.heat import STYLES, Heat
from robeval.report.layout import paragraph
from robeval.report.matrix import MARKS
from robeval.report.numbers import number, unit_of

BARS = "▁▂▃▄▅▆▇█"
_MOST_WIDE_BARS = 8
_GAP = "   "


def curve_lines(curves: Sequence[Curve], heat: Heat | None, width: int) -> Iterator[Text]:
    """The curves of one matrix, in the colours of its heat map; nothing without curves."""
    grouped = said.attacks_with_curves(curves)
    if not grouped:
        return
    metric = curves[0].metric
    shown = [curve for same in grouped.values() for curve in same]
    values = [p.value for c in shown for p in c.points if p.value is not None and math.isfinite(p.value)]
    axis = (min(values, default=0.0), max(values, default=0.0))
    unit = f" [{unit_of(metric)}]" if unit_of(metric) else ""
    yield Text()
    yield Text(f"Security curves · {metric.name}{unit}", style="bold")
    table = {id(curve): (said.ends(curve), said.area(curve), said.crossing(curve)) for curve in shown}
    heads = ("first → last", "area [95 %]", said.reaches(shown))
    sizes = [max(len(head), *(len(row[k]) for row in table.values())) for k, head in enumerate(heads)]
    label = max(len(curve.defense) for curve in shown) + 2
    bars = max(_bar_width(curve) * len(curve.points) for curve in shown)
    in_one_line = label + bars + sum(sizes) + 4 * len(_GAP) <= width
    if in_one_line:
        columns = _GAP.join(head.ljust(size) for head, size in zip(heads, sizes, strict=True))
        yield Text(" " * (label + bars + 2 * len(_GAP)) + columns.rstrip(), style="dim")
    for name, same in grouped.items():
        yield from _head(name, same, width)
        for curve in same:
            line = Text(f"  {curve.defense}".ljust(label) + _GAP) if in_one_line else Text("    ")
            line.append_text(_sparkline(curve, axis, heat))
            line.append(" " * (bars - _bar_width(curve) * len(curve.points)) + _GAP)
            first, *others = table[id(curve)]
            if in_one_line:
                cells = [text.ljust(size) for text, size in zip(table[id(curve)], sizes, strict=True)]
                line.append(_GAP.join(cells).rstrip())
                yield line
                continue
            line.append(first)
            yield from paragraph(curve.defense, width, indent=2)
            yield line
            yield from paragraph(f"area {others[0]}", width, indent=4)
            yield from paragraph(f"{heads[2]} {others[1]}", width, indent=4)
    low, high = (said.with_unit(number(value, metric), metric) for value in axis)
    yield from paragraph(f"bars: from {low} (▁) to {high} (█), one for each budget", width, style="dim")
    yield from paragraph(said.about_area(shown), width, style="dim")
    yield from paragraph(said.about_threshold(shown), width, style="dim")


def _head(name: str, curves: Sequence[Curve], width: int) -> Iterator[Text]:
    found = said.budgets(curves)
    if len(name) + len(found) + 3 <= width:
        yield Text.assemble((name, "bold"), (f" · {found}", "dim"))
        return
    yield from paragraph(name, width, style="bold")
    yield from paragraph(found, width, indent=2, style="dim")


def _bar_width(curve: Curve) -> int:
    return 2 if len(curve.points) <= _MOST_WIDE_BARS else 1


def _sparkline(curve: Curve, axis: tuple[float, float], heat: Heat | None) -> Text:
    line = Text()
    for point in curve.points:
        sign, style = _bar(point, axis, heat)
        line.append(sign * _bar_width(curve), style=style)
    return line


def _bar(point: Point, axis: tuple[float, float], heat: Heat | None) -> tuple[str, str]:
    """A bar as high as the value; a marked figure has its mark instead, outside the scale."""
    if point.value is None or point.verdict != "ok":
        return MARKS[point.verdict] or " ", MARK_STYLES.get(point.verdict, "")
    low, high = axis
    share = (point.value - low) / (high - low) if high > low else 0.0
    step = round(min(max(share, 0.0), 1.0) * (len(BARS) - 1))
    return BARS[step], STYLES[heat.level(point.value)] if heat else ""


def gap_lines(gaps: Sequence[Gap], width: int) -> Iterator[Text]:
    """What knowing the defense is worth to the attacker; nothing without oblivious rows."""
    if not gaps:
        return
    metric = gaps[0].matrix.metric
    unit = f" [{unit_of(metric)}]" if unit_of(metric) else ""
    yield Text()
    yield Text(f"Knowledge gap · {metric.name}{unit}", style="bold")
    yield from paragraph(said.about_gaps(gaps), width, style="dim")
    labels = said.gap_places(gaps)
    table = [(*_both(gap), said.difference(gap), said.chance(gap.p)) for gap in gaps]
    heads = ("oblivious", "adaptive", "difference [95 %]", "p")
    sizes = [max(len(head), *(len(row[k]) for row in table)) for k, head in enumerate(heads)]
    room = width - sum(sizes) - len(_GAP) * len(sizes)
    label = min(max(map(len, labels)), room)
    in_one_line = label >= max(map(len, labels))
    if in_one_line:
        yield Text(" " * label + _row(heads, sizes), style="dim")
    for gap, text, figures in zip(gaps, labels, table, strict=True):
        style = "bold" if gap.outcome in ("relies", "misled") else ""
        if in_one_line:
            yield Text(text.ljust(label) + _row(figures, sizes))
        else:
            yield from paragraph(text, width)
            yield from paragraph(
                f"{figures[0]} → {figures[1]}, {figures[2]}, p {figures[3]}", width, indent=2
            )
        yield from paragraph(said.meaning(gap), width, indent=2, style=style or "dim")


def _both(gap: Gap) -> tuple[str, str]:
    first, second = (
        number(value, gap.matrix.metric) for value in (gap.comparison.first, gap.comparison.second)
    )
    return first, second


def _row(texts: Sequence[str], sizes: Sequence[int]) -> str:
    before, after, difference, p = (
        text.ljust(size) if k == 2 else text.rjust(size)
        for k, (text, size) in enumerate(zip(texts, sizes, strict=True))
    )
    return _GAP + _GAP.join([before, after, difference, p])
