"""Security curves laid out as plain SVG: one panel per attack, one line per defense, in the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robeval.report.curves import Curve, Point
from robeval.report.numbers import bounds, number, unit_of
from robeval.results.records import Figure

WIDTH, HEIGHT = 340.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 40.0
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus")
COLOURS = 8


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Dot:
    """One measured point."""

    x: float
    y: float
    label: str
    doubtful: bool


@dataclass(frozen=True)
class Series:
    """One defense."""

    name: str
    index: int
    shape: str
    line: str
    band: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Panel:
    """One chart, ready to be written down."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    threshold: float | None
    """Where the line stands from which a figure is too bad; None when it is out of the picture."""
    limit: str


def panels(curves: Sequence[Curve]) -> list[Panel]:
    """A panel for every attack of a scenario; all share their value axis, so that they can be compared."""
    values = [
        value
        for curve in curves
        for point in curve.points
        for value in (point.value, point.low, point.high)
        if value is not None and math.isfinite(value)
    ]
    if not values:
        return []
    low, high = min(0.0, *values), max(values)
    defenses = list(dict.fromkeys(curve.defense for curve in curves))
    names = titles(curves)
    grouped: dict[str, list[Curve]] = {}
    for curve, name in zip(curves, names, strict=True):
        grouped.setdefault(name, []).append(curve)
    extent = (low, high if high > low else low + 1)
    return [_panel(name, group, extent, defenses) for name, group in grouped.items()]


def titles(curves: Sequence[Curve]) -> list[str]:
    """What the attack of each curve is called: without options where that tells the attacks apart."""
    attacks = dict.fromkeys(curve.attack for curve in curves)
    heads = [attack.partition(":")[0] for attack in attacks]
    short = {a: head if heads.count(head) == 1 else a for a, head in zip(attacks, heads, strict=True)}
    return [
        ", ".join(
            [short[c.attack], *(word for word in (c.knowledge, c.counter) if word not in ("adaptive", ""))]
        )
        for c in curves
    ]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values inside the range, about `count` of them."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = (high - low) * 1e-6
    return [float(value) for value in found if low - slack <= value <= high + slack]


def _panel(
    title: str, curves: Sequence[Curve], extent: tuple[float, float], defenses: Sequence[str]
) -> Panel:
    budgets = [point.budget for curve in curves for point in curve.points]
    most = max(budgets) or 1.0
    x = Scale(0.0, most, LEFT, WIDTH - RIGHT)
    y = Scale(*extent, HEIGHT - BOTTOM, TOP)
    first = curves[0]
    unit = f" [{first.unit}]" if first.unit else ""
    value_unit = f" [{unit_of(first.metric)}]" if unit_of(first.metric) else ""
    limit = first.threshold
    share = 100.0 if first.metric.kind == "proportion" else 1.0
    return Panel(
        title=title,
        x_label=f"{first.budget_name}{unit}",
        y_label=f"{first.metric.name}{value_unit}",
        x_ticks=tuple((x(value), f"{value:g}") for value in ticks(0.0, most, 5)),
        y_ticks=tuple((y(value), f"{value * share:g}") for value in ticks(*extent, 5)),
        series=tuple(_series(curve, x, y, defenses.index(curve.defense)) for curve in curves),
        threshold=y(limit.value) if limit and extent[0] <= limit.value <= extent[1] else None,
        limit=f"{number(limit.value, first.metric)}: {limit.origin}" if limit else "",
    )


def _series(curve: Curve, x: Scale, y: Scale, index: int) -> Series:
    known = [point for point in curve.points if point.value is not None and math.isfinite(point.value)]
    line = " ".join(f"{x(point.budget)},{y(point.value or 0.0)}" for point in known)
    ranged = [point for point in known if point.low is not None and point.high is not None]
    above = [f"{x(point.budget)},{y(point.high or 0.0)}" for point in ranged]
    below = [f"{x(point.budget)},{y(point.low or 0.0)}" for point in reversed(ranged)]
    dots = tuple(
        Dot(x(point.budget), y(point.value or 0.0), _said(curve, point), point.verdict != "ok")
        for point in known
    )
    band = " ".join([*above, *below]) if len(ranged) > 1 else ""
    return Series(curve.defense, index % COLOURS, SHAPES[index % len(SHAPES)], line, band, dots)


def _said(curve: Curve, point: Point) -> str:
    figure = Figure(
        value=point.value,
        low=point.low,
        high=point.high,
        unit="",
        direction=curve.metric.direction,
        n=point.n,
    )
    unit = f" {unit_of(curve.metric)}".rstrip()
    doubt = " (cannot be trusted)" if point.verdict != "ok" else ""
    budget = f"{point.budget:g} {curve.unit}".rstrip()
    value = f"{number(point.value, curve.metric)}{unit} {bounds(figure, curve.metric)}".rstrip()
    return f"{curve.defense} at {budget}: {value}, n {point.n}{doubt}"
