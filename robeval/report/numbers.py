"""How figures are written for people: never truncated, always with what they are worth."""

from __future__ import annotations

import math

from robeval.results.records import Figure, MetricRecord


def unit_of(metric: MetricRecord) -> str:
    """The unit as printed: proportions are percentages."""
    return "%" if metric.kind == "proportion" else metric.unit


def number(value: float | None, metric: MetricRecord) -> str:
    """A value with the digits that its metric deserves: ``5.34``, ``38`` (of a share of 0.375), ``–``."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    scale, digits = (
        (100, max(metric.decimals - 2, 0)) if metric.kind == "proportion" else (1, metric.decimals)
    )
    if abs(value * scale) >= 1e6:
        return f"{value * scale:.2e}"
    text = f"{value * scale:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def half_width(figure: Figure, metric: MetricRecord) -> str:
    """``±0.41``: the distance to the farther end of the interval; ``±?`` where there is none."""
    if figure.value is None:
        return ""
    if figure.low is None or figure.high is None:
        return "±?"
    return "±" + number(max(figure.high - figure.value, figure.value - figure.low), metric)


def bounds(figure: Figure, metric: MetricRecord) -> str:
    """``[4.95, 5.81]``; empty where there is no interval."""
    if figure.low is None or figure.high is None:
        return ""
    return f"[{number(figure.low, metric)}, {number(figure.high, metric)}]"


def measured(figure: Figure) -> str:
    """A figure of the attack's own: ``0.42 [0.38, 0.46] (n 40)``."""
    if figure.value is None:
        return "–"
    inside = "" if figure.low is None or figure.high is None else f" [{figure.low:.2f}, {figure.high:.2f}]"
    return f"{figure.value:.2f}{inside} (n {figure.n})"


def amount(value: float) -> str:
    """A cost: ``0``, ``1.5``, ``202``, ``12,800``."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.1f}"


def span(values: list[float]) -> str:
    """One amount, or the smallest and the largest: ``151`` or ``151–604``."""
    texts = list(dict.fromkeys(map(amount, sorted(values))))
    return texts[0] if len(texts) == 1 else f"{texts[0]}–{texts[-1]}" if texts else "–"
