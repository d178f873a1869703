"""How bad a figure is for the defender, in five steps that read with and without colour."""

from __future__ import annotations

from dataclasses import dataclass

from robeval.report.matrix import Matrix
from robeval.report.numbers import number, unit_of
from robeval.results.records import MetricRecord

SHADES = (" ", "░", "▒", "▓", "█")
STYLES = (
    "#14321f on #cfe8cf",
    "#33300a on #f7eeb0",
    "#3a2300 on #fdcb6e",
    "#ffffff on #d9602b",
    "#ffffff on #a01822",
)
"""Lightness falls with every step, so that the order survives colour blindness and grey prints."""
_LOGARITHMIC_FROM = 30.0


@dataclass(frozen=True)
class Heat:
    """A scale from the best to the worst figure of a matrix, from the defender's side."""

    metric: MetricRecord
    best: float
    worst: float

    @classmethod
    def of(cls, matrix: Matrix) -> Heat | None:
        """The scale of a matrix; None when it has no figure that may be trusted, or all are alike."""
        values = [f.value for f in matrix.figures() if f.value is not None and abs(f.value) != float("inf")]
        if not values or min(values) == max(values):
            return None
        low, high = min(values), max(values)
        return cls(matrix.metric, *((low, high) if matrix.metric.direction == "lower" else (high, low)))

    def level(self, value: float) -> int:
        """0 for the best fifth of the scale up to 4 for the worst."""
        if value in (self.best, self.worst):
            return 4 if value == self.worst else 0
        edges = self.edges()
        beyond = [value > edge if self.worst > self.best else value < edge for edge in edges]
        return sum(beyond)

    def edges(self) -> list[float]:
        """The four values between the five steps, from good to bad; by ratio when the scale is long."""
        shares = [step / 5 for step in range(1, 5)]
        low, high = sorted((self.best, self.worst))
        if low > 0 and high / low >= _LOGARITHMIC_FROM:
            return [self.best * (self.worst / self.best) ** share for share in shares]
        return [self.best + (self.worst - self.best) * share for share in shares]

    def legend(self) -> list[tuple[int, str]]:
        """Each step with the values that it stands for."""
        edges = [number(edge, self.metric) for edge in self.edges()]
        unit = f" {unit_of(self.metric)}".rstrip()
        sign, beyond = ("≤", ">") if self.worst > self.best else ("≥", "<")
        steps = [f"{sign} {edge}" for edge in edges] + [f"{beyond} {edges[-1]}{unit}"]
        return list(enumerate(steps))
