"""Permutation tests on sums over clusters: exchanging two figures, or dealing clusters to two sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from robeval.statistics.intervals import Floats

Alternative = Literal["two-sided", "greater", "less"]

SHUFFLES = 9_999
_PER_MEMBER = 200
_ELEMENTS_AT_ONCE = 2_000_000
_MOST_FOR_ALL_DEALS = 200
_ROUNDING = 1e-11
"""Two arrangements whose figures differ by less, relative to the figures, are a tie."""


def enough_shuffles(family: int) -> int:
    """How many shuffles let the smallest p-value of a family stay far below 0.05 after its correction."""
    return max(SHUFFLES, _PER_MEMBER * family - 1)


def sign_test(sums: Sequence[Floats], alternative: Alternative, shuffles: int, seed: int) -> list[float]:
    """The p-value of exchanging first and second in whole clusters, one for each pair of figures.

    `sums` are [4, clusters] each: numerator and denominator of the first figure, then of the second, over
    the same clusters for all. All exchanges are tried where they are no more than `shuffles` + 1.
    """
    if not sums:
        return []
    first_top, first_bottom, second_top, second_bottom = np.stack(sums, axis=-1)
    exchange = _Exchange(first_top, first_bottom, second_top, second_bottom)
    clusters = len(first_top)
    exact = 2**clusters <= shuffles + 1
    signs = _all_signs(clusters, len(sums)) if exact else _random_signs(clusters, len(sums), shuffles, seed)
    observed = exchange(np.ones((1, clusters)))[0]
    reached, tried = np.zeros(len(sums)), 0
    for some in signs:
        drawn = exchange(some)
        tried += len(some)
        # An exchange everywhere turns the sign, so both tails weigh the same.
        if alternative == "two-sided":
            reached += _at_least(np.abs(drawn), np.abs(observed), exchange.scale)
        else:
            turn = 1 if alternative == "greater" else -1
            reached += _at_least(turn * drawn, turn * observed, exchange.scale)
    return [float(p) for p in _share(reached, tried, exact)]


class _Exchange:
    """The differences of figures when some clusters' first and second are exchanged."""

    def __init__(
        self, first_top: Floats, first_bottom: Floats, second_top: Floats, second_bottom: Floats
    ) -> None:
        self.top, self.top_half = (first_top + second_top).sum(0) / 2, (second_top - first_top) / 2
        self.bottom, self.bottom_half = (
            (first_bottom + second_bottom).sum(0) / 2,
            (second_bottom - first_bottom) / 2,
        )
        self.same_bottom = not self.bottom_half.any()
        with np.errstate(all="ignore"):
            self.scale = (np.abs(first_top) + np.abs(second_top)).sum(0) / np.abs(self.bottom)

    def __call__(self, signs: Floats) -> Floats:
        """`signs` [shuffles, clusters], -1 where exchanged → second minus first [shuffles, pairs]."""
        top = signs @ self.top_half
        if self.same_bottom:
            return np.asarray(2 * top / self.bottom)
        bottom = signs @ self.bottom_half
        with np.errstate(all="ignore"):
            found = (self.top + top) / (self.bottom + bottom) - (self.top - top) / (self.bottom - bottom)
        return np.asarray(found)


def label_test(
    top: Floats,
    bottom: Floats,
    is_second: npt.NDArray[np.bool_],
    alternative: Alternative,
    shuffles: int,
    seed: int,
) -> float:
    """The p-value of dealing all clusters to two sides of the same sizes, by the studentised difference.

    `top` and `bottom` are the clusters' numerators and denominators, `is_second` their true side: [clusters].
    All deals are tried where they are no more than `shuffles` + 1.
    """
    clusters, chosen = len(top), int(is_second.sum())
    exact = clusters <= _MOST_FOR_ALL_DEALS and math.comb(clusters, chosen) <= shuffles + 1
    deals = _all_deals(clusters, chosen) if exact else _random_deals(clusters, chosen, shuffles, seed)
    observed = _studentised(is_second[None].astype(np.float64), top, bottom)
    above, below, tried = 0.0, 0.0, 0
    for some in deals:
        drawn = _studentised(some, top, bottom)[:, None]
        above += float(_at_least(drawn, observed, np.ones(1))[0])
        below += float(_at_least(-drawn, -observed, np.ones(1))[0])
        tried += len(some)
    greater, less = (float(p) for p in _share(np.array([above, below]), tried, exact))
    if alternative == "two-sided":
        return min(1.0, 2 * min(greater, less))
    return greater if alternative == "greater" else less


def _studentised(second: Floats, top: Floats, bottom: Floats) -> Floats:
    """Difference of the sides' ratios over its standard error, [deals], for `second` [deals, clusters] 0 or 1."""
    moments = np.stack([top, bottom, top * top, top * bottom, bottom * bottom], axis=1)
    value, variance = [], []
    for side in (second, 1.0 - second):
        many = side.sum(axis=1)
        t, b, tt, tb, bb = (side @ moments).T
        with np.errstate(all="ignore"):
            ratio = t / b
            squares = np.maximum(tt - 2 * ratio * tb + ratio**2 * bb, 0)
            # What rounding leaves of a side whose clusters agree is no variance.
            squares[squares <= _ROUNDING * (tt + ratio**2 * bb)] = 0
            variance.append(many / (many - 1) * squares / b**2)
        value.append(ratio)
    gap = value[0] - value[1]
    gap[np.abs(gap) <= _ROUNDING * (np.abs(value[0]) + np.abs(value[1]))] = 0
    with np.errstate(all="ignore"):
        found = gap / np.sqrt(variance[0] + variance[1])
    return np.where(gap == 0, 0.0, found)


def _at_least(drawn: Floats, observed: Floats, scale: Floats) -> Floats:
    """How many rows of `drawn` reach `observed`, by column; what is not a number counts as reaching it."""
    return np.asarray((~(drawn < observed - _ROUNDING * scale)).sum(axis=0), dtype=np.float64)


def _share(reached: Floats, tried: int, exact: bool) -> Floats:
    """All arrangements hold the observed one; random ones get it added, so that no p-value is 0."""
    return reached / tried if exact else (reached + 1) / (tried + 1)


def _rows_at_once(clusters: int, pairs: int) -> int:
    return max(1, _ELEMENTS_AT_ONCE // max(clusters, pairs))


def _all_signs(clusters: int, pairs: int) -> Iterator[Floats]:
    at_once = _rows_at_once(clusters, pairs)
    for start in range(0, 2**clusters, at_once):
        codes = np.arange(start, min(start + at_once, 2**clusters))
        yield 1.0 - 2.0 * ((codes[:, None] >> np.arange(clusters)) & 1)


def _random_signs(clusters: int, pairs: int, shuffles: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    at_once = _rows_at_once(clusters, pairs)
    for start in range(0, shuffles, at_once):
        rows = min(at_once, shuffles - start)
        bits = np.unpackbits(rng.integers(256, size=(rows, -(-clusters // 8)), dtype=np.uint8), axis=1)
        yield 1.0 - 2.0 * bits[:, :clusters]


def _all_deals(clusters: int, chosen: int) -> Iterator[Floats]:
    deals = combinations(range(clusters), chosen)
    while block := list(islice(deals, _rows_at_once(clusters, 1))):
        yield _dealt(np.array(block, dtype=np.intp).reshape(len(block), chosen), clusters)


def _random_deals(clusters: int, chosen: int, shuffles: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    at_once = _rows_at_once(clusters, 1)
    for start in range(0, shuffles, at_once):
        rows = min(at_once, shuffles - start)
        order = rng.random((rows, clusters)).argpartition(chosen - 1, axis=1)[:, :chosen]
        yield _dealt(order, clusters)


def _dealt(chosen: npt.NDArray[np.intp], clusters: int) -> Floats:
    sides = np.zeros((len(chosen), clusters))
    np.put_along_axis(sides, chosen, 1.0, axis=1)
    return sides
