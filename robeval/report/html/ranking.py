"""The verdict of a scenario, laid out: what is said of the defenses and where their marks stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robeval.report.curves import Curve, curves_of
from robeval.report.html.chart import Panel, panels, titles
from robeval.report.html.standing import Standing, Verdict, level_with_best, verdict
from robeval.report.matrix import Matrix, Row
from robeval.report.numbers import bounds, number, unit_of
from robeval.results.records import Figure, MetricRecord


@dataclass(frozen=True)
class Bar:
    """A defense in the ranking; `places` are shares of the axis in per cent."""

    name: str
    defense: str
    value: str
    interval: str
    clean: str
    by: str
    places: dict[str, float]
    is_best: bool
    is_settled: bool
    unsettled: str


@dataclass(frozen=True)
class Sweep:
    """A curve in words."""

    attack: str
    defense: str
    area: str
    crossing: str


@dataclass(frozen=True)
class Scene:
    """What is said and drawn of one scenario's headline figure."""

    name: str
    metric: MetricRecord
    unit: str
    bars: tuple[Bar, ...]
    best: Bar | None
    undefended: Bar | None
    change: str
    level: tuple[str, ...]
    """Defenses that the best one is not shown to beat."""
    doubtful: tuple[str, ...]
    """Unsettled defenses that may be better than the best one."""
    hardest: str
    """The attack that is the worst one for most defenses."""
    panels: tuple[Panel, ...]
    sweeps: tuple[Sweep, ...]


def scene(matrix: Matrix, folder: Path) -> Scene:
    """The view of a scenario's headline matrix. Raises StoreError when a per-example table cannot be read."""
    judged = verdict(matrix)
    heads = matrix.column_names()
    axis = _axis(judged.standings)
    rows = {row: f"{name} {row.grant}".strip() for row, name in matrix.row_names().items()}
    bars = tuple(_bar(standing, judged, heads, rows, axis) for standing in judged.standings)
    curves = curves_of(matrix, folder)
    return Scene(
        name=f"{matrix.dataset} · {matrix.victim}",
        metric=matrix.metric,
        unit=unit_of(matrix.metric),
        bars=bars,
        best=next((bar for bar in bars if bar.is_best), None),
        undefended=next((bar for bar in bars if bar.defense == "none"), None),
        change=_change(judged),
        level=tuple(heads[s.defense] for s in level_with_best(judged, matrix, folder)),
        doubtful=tuple(heads[s.defense] for s in judged.doubtful_rivals),
        hardest=max((bar.by for bar in bars if bar.by), key=[bar.by for bar in bars].count, default=""),
        panels=tuple(panels(curves)),
        sweeps=tuple(_sweep(c, name) for c, name in zip(curves, titles(curves), strict=True)),
    )


def _axis(standings: Sequence[Standing]) -> tuple[float, float]:
    """From zero, or from the smallest value below it, to the largest end of an interval."""
    figures = [figure for s in standings for figure in (s.clean, s.worst) if figure is not None]
    ends = [end for f in figures for end in (f.value, f.low, f.high) if end is not None and _is_finite(end)]
    low, high = min(0.0, *ends, 0.0), max(0.0, *ends, 0.0)
    return low, high if high > low else low + 1.0


def _bar(
    standing: Standing,
    judged: Verdict,
    heads: dict[str, str],
    rows: dict[Row, str],
    axis: tuple[float, float],
) -> Bar:
    worst, clean = standing.worst, standing.clean
    marks = {"clean": clean.value if clean else None}
    if worst is not None:
        marks |= {"worst": worst.value, "low": worst.low, "high": worst.high}
    reasons = Counter(reason for _, reason in standing.unsettled)
    return Bar(
        name=heads[standing.defense],
        defense=standing.defense,
        value=number(worst.value if worst else None, judged.metric),
        interval=bounds(worst, judged.metric) if worst else "",
        clean=number(clean.value if clean else None, judged.metric),
        by=rows[standing.by] if standing.by else "",
        places={
            name: round(100 * (value - axis[0]) / (axis[1] - axis[0]), 2)
            for name, value in marks.items()
            if value is not None and _is_finite(value)
        },
        is_best=standing is judged.best,
        is_settled=standing.is_settled,
        unsettled=", ".join(f"{count} {reason}" for reason, count in reasons.items()),
    )


def _change(judged: Verdict) -> str:
    """By how much the best defense's figure differs from that without a defense."""
    best, bare = judged.best, judged.undefended
    if best is None or bare is None or best is bare:
        return ""
    one, other = _value(best.worst), _value(bare.worst)
    if one is None or not other or not bare.is_settled:
        return ""
    return f"{abs(one - other) / abs(other) * 100:.0f} % {'lower' if one < other else 'higher'}"


def _sweep(curve: Curve, name: str) -> Sweep:
    unit = f" {unit_of(curve.metric)}".rstrip()
    area = curve.area
    return Sweep(
        attack=name,
        defense=curve.defense,
        area=f"{number(area.value, curve.metric)}{unit} {bounds(area, curve.metric)}" if area else "–",
        crossing=_crossing(curve),
    )


def _crossing(curve: Curve) -> str:
    found = curve.crossing
    if found is None:
        return "–"
    unit = f" {curve.unit}".rstrip()
    if found.value is None:
        return f"not within {curve.largest:g}{unit}"
    if found.low is None:
        return f"{found.value:.3g}{unit}"
    high = f"{found.high:.3g}" if found.high is not None else f"> {curve.largest:g}"
    return f"{found.value:.3g}{unit} [{found.low:.3g}, {high}]"


def _value(figure: Figure | None) -> float | None:
    value = None if figure is None else figure.value
    return value if value is not None and _is_finite(value) else None


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")
