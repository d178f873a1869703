"""Two figures reduced to sums over clusters: what their difference, its effect size and its spread are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robeval.statistics.intervals import Column, Floats, _one_per_example, _Ratios, _Sums

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Contrast:
    """Two figures reduced to sums over clusters, with what their effect size needs."""

    first: _Sums
    second: _Sums
    moments: tuple[tuple[_Sums, _Sums], ...]
    """Sums of the linearised residuals and of their squares: of the pairs, or of each side."""
    up: float
    """Share of pairs in which the second is higher, for proportions only the second 1; NaN unless paired."""
    down: float

    @classmethod
    def paired(
        cls, name: str, first: Column, second: Column, place: npt.NDArray[np.intp], count: int
    ) -> Contrast:
        x, x_per = _both(name, first, place)
        y, y_per = _both(name, second, place)
        gone = np.isnan(x) | np.isnan(x_per) | np.isnan(y) | np.isnan(y_per)
        x[gone] = y[gone] = np.nan
        change = y[~gone] - x[~gone] if (~gone).any() else np.zeros(1)
        residual = _residual(y, y_per) - _residual(x, x_per)
        return cls(
            _Sums.of(
                name, Column(x, first.per if first.per is None else x_per, first.proportion), place, count
            ),
            _Sums.of(
                name, Column(y, second.per if second.per is None else y_per, second.proportion), place, count
            ),
            (_moments(name, residual, place, count),),
            float(np.mean(change > 0)),
            float(np.mean(change < 0)),
        )

    @classmethod
    def unpaired(
        cls, first: Column, second: Column, sooner: int, place: npt.NDArray[np.intp], count: int
    ) -> Contrast:
        """Rows are the first side's examples, then the second's; each side is NaN where the other one is."""
        sums, moments = [], []
        for column, mine, sign in ((first, slice(0, sooner), -1), (second, slice(sooner, None), 1)):
            values, per = _both("", column, place[mine])
            rows, pers = np.full(len(place), np.nan), np.full(len(place), np.nan)
            rows[mine], pers[mine] = values, per
            kept = None if column.per is None else pers
            sums.append(_Sums.of("", Column(rows, kept, column.proportion), place, count))
            moments.append(_moments("", sign * _residual(rows, pers), place, count))
        return cls(sums[0], sums[1], tuple(moments), math.nan, math.nan)

    @property
    def is_paired(self) -> bool:
        return len(self.moments) == 1

    @cached_property
    def is_proportion(self) -> bool:
        return self.first.proportion and self.second.proportion

    @cached_property
    def here(self) -> npt.NDArray[np.bool_]:
        """The clusters that have a value."""
        found: npt.NDArray[np.bool_] = (self.first.examples > 0) | (self.second.examples > 0)
        return found

    @cached_property
    def clusters(self) -> int:
        return int(self.here.sum())

    @cached_property
    def fewest(self) -> int:
        """Clusters of the smaller side."""
        return min(int((side.examples > 0).sum()) for side in (self.first, self.second))

    @property
    def n(self) -> int:
        return self.first.n if self.is_paired else self.first.n + self.second.n

    @cached_property
    def difference(self) -> float | None:
        first, second = self.first.value, self.second.value
        if first is None or second is None or math.isnan(second - first):
            return None
        return second - first

    @property
    def is_finite(self) -> bool:
        return self.difference is not None and math.isfinite(self.difference)

    @cached_property
    def deviation(self) -> float | None:
        """What the effect is measured in; None where it is 0 or cannot be known."""
        found = 0.0
        for plain, squared in self.moments:
            n = plain.n
            if n < 2 or not np.isfinite(squared.top).all():
                return None
            mean = plain.top.sum() / n
            found += (squared.top.sum() / n - mean**2) * n / (n - 1) / len(self.moments)
        # Equal differences leave rounding errors, not zeros.
        scale = sum(abs(side.value or 0.0) for side in (self.first, self.second))
        return math.sqrt(found) if found > (_ROUNDING * scale) ** 2 else None

    @property
    def effect(self) -> float | None:
        """The difference in deviations."""
        if self.difference is None or self.deviation is None or not self.is_finite:
            return None
        return self.difference / self.deviation

    @property
    def spread(self) -> float | None:
        if not self.is_finite or self.fewest < 2:
            return None
        variance = 0.0
        for plain, _ in self.moments:
            many = int((plain.examples > 0).sum())
            variance += many / (many - 1) * float(np.sum(plain.top**2)) / plain.n**2
        return math.sqrt(variance * self.clusters) if self.deviation is not None else 0.0

    def sums(self) -> Floats:
        """The clusters' numerators and denominators, [4, clusters]: first's, then second's."""
        return np.stack([self.first.top, self.first.bottom, self.second.top, self.second.bottom])

    def sides(self) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Unpaired: the clusters' numerators and denominators, and which are the second side's: [clusters]."""
        top, bottom = self.first.top + self.second.top, self.first.bottom + self.second.bottom
        return top[self.here], bottom[self.here], (self.second.examples > 0)[self.here]

    def closed_form(self, level: float) -> tuple[float, float] | None:
        """The interval where no resampling is needed or can help, for proportions and constant values."""
        independent = self.clusters == self.n
        if self.is_proportion and self.is_paired and (independent or self.deviation is None):
            return _bonett_price(self.up, self.down, self.clusters, level)
        flat = self.first.constant and self.second.constant
        if self.is_proportion and not self.is_paired and (independent or flat):
            n, m = (int((side.examples > 0).sum()) for side in (self.first, self.second))
            return _agresti_caffo(self.first.value or 0.0, self.second.value or 0.0, n, m, level)
        if self.deviation is None:
            return (self.difference or 0.0, self.difference or 0.0)
        return None


def _both(name: str, column: Column, place: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """A column's values and what they are divided by, as fresh arrays."""
    values = _one_per_example(name, column.values, place).copy()
    per = np.ones_like(values) if column.per is None else _one_per_example(name, column.per, place).copy()
    return values, per


def _residual(values: Floats, per: Floats) -> Floats:
    """What each example adds to the error of mean(values) / mean(per), to first order; mean 0."""
    here = ~(np.isnan(values) | np.isnan(per))
    if not here.any():
        return np.full_like(values, np.nan)
    with np.errstate(all="ignore"):
        below = per[here].mean()
        return np.asarray((values - values[here].mean() / below * per) / below)


def _moments(name: str, residual: Floats, place: npt.NDArray[np.intp], count: int) -> tuple[_Sums, _Sums]:
    plain = _Sums.of(name, Column(residual), place, count)
    return plain, _Sums.of(name, Column(residual**2), place, count)


class Differences(_Ratios):
    """The differences and effects of contrasts for resampled clusters, as `intervals` asks for figures."""

    def __init__(self, contrasts: Sequence[Contrast], here: npt.NDArray[np.bool_]) -> None:
        columns = [contrast.first for contrast in contrasts] + [contrast.second for contrast in contrasts]
        for side in range(len(contrasts[0].moments)):
            for power in range(2):
                columns += [contrast.moments[side][power] for contrast in contrasts]
        super().__init__(columns, here)
        self.parts = 2 + 2 * len(contrasts[0].moments)
        n = [[plain.n for plain, _ in contrast.moments] for contrast in contrasts]
        self.correction = (np.array(n) / (np.array(n) - 1.0)).T[:, :, None]

    def figures(self, held: Floats) -> Floats:
        """Differences, then effects: [2 × contrasts, resamples]."""
        first, second, *moments = np.split(super().figures(held), self.parts)
        with np.errstate(all="ignore"):
            squares = np.stack(moments[1::2])
            variances = squares - np.stack(moments[::2]) ** 2
            variances[variances <= _ROUNDING * squares] = np.nan  # one cluster, drawn again and again
            deviation = np.sqrt((variances * self.correction).mean(axis=0))
            return np.concatenate([second - first, (second - first) / deviation])


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def _bonett_price(up: float, down: float, n: int, level: float) -> tuple[float, float]:
    up, down = (up * n + 1) / (n + 2), (down * n + 1) / (n + 2)
    reach = _quantile(level) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return max(up - down - reach, -1.0), min(up - down + reach, 1.0)


def _agresti_caffo(first: float, second: float, n: int, m: int, level: float) -> tuple[float, float]:
    p, q = (first * n + 1) / (n + 2), (second * m + 1) / (m + 2)
    reach = _quantile(level) * math.sqrt(p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2))
    return max(q - p - reach, -1.0), min(q - p + reach, 1.0)
