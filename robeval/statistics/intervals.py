"""How far a figure can be trusted: its sample size and its 95 % interval.

Examples of one cluster (a scene, a query, an example under several seeds) are not independent, so whole
clusters are resampled. All figures of a table share the resamples: one call of `scipy.stats.bootstrap` serves
them together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
MOST_FOR_BCA = 2000
"""With more clusters the correction is far below the resampling noise, and its jackknife is quadratic."""
_ELEMENTS_AT_ONCE = 4_000_000


class Interval(NamedTuple):
    """A figure with its interval.

    `value` is None when no example has one; `low` and `high` are None when an interval cannot be known: fewer
    than two clusters, or a value that is not finite.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


class Column(NamedTuple):
    """The per-example values of one figure: [examples]. NaN means "does not apply" and is left out.

    With `per`, the figure is mean(values) / mean(per) over the examples where both apply.
    """

    values: npt.ArrayLike
    per: npt.ArrayLike | None = None
    proportion: bool = False


def interval(
    values: npt.ArrayLike,
    clusters: Sequence[str] | npt.NDArray[Any],
    *,
    per: npt.ArrayLike | None = None,
    proportion: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of `values` with its interval; `intervals` of a single column."""
    column = Column(values, per, proportion)
    return intervals({"": column}, clusters, level=level, resamples=resamples, seed=seed)[""]


def intervals(
    columns: Mapping[str, Column],
    clusters: Sequence[str] | npt.NDArray[Any],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Every column's mean (or ratio of means) with its interval, all from the same resampled clusters.

    Proportions (every value 0 or 1) of independent examples get Wilson's interval. Everything else is
    bootstrapped over clusters: bias-corrected and accelerated (BCa), or by percentiles where BCa is not
    defined. The nominal level is widened for few clusters as the t distribution is against the normal one.
    The bootstrap cannot see beyond a clustered proportion that is 0 or 1 throughout: it gets Wilson's
    interval with clusters as its n. Constant values give an interval of width zero. The order of the examples
    does not matter.

    Raises ValueError when a column and `clusters` differ in length, or a column is not one value per example.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 14; the widening: Hesterberg, The
    American Statistician 69(4), 2015 (expanded intervals); the proportion: Wilson, JASA 22, 1927.
    """
    place, count = _places(clusters)
    found: dict[str, Interval] = {}
    waiting: dict[str, _Sums] = {}
    for name, column in columns.items():
        sums = _Sums.of(name, column, place, count)
        settled = sums.settled(level)
        if settled is None:
            waiting[name] = sums
        else:
            found[name] = settled
    found.update(_bootstrapped(waiting, level, resamples, seed))
    return {name: found[name] for name in columns}


class _Sums(NamedTuple):
    """A column reduced to its clusters: sums of numerator and denominator, and the number of examples."""

    top: Floats
    bottom: Floats
    examples: Floats
    proportion: bool
    constant: bool

    @classmethod
    def of(cls, name: str, column: Column, place: npt.NDArray[np.intp], count: int) -> _Sums:
        values = _one_per_example(name, column.values, place)
        per = np.ones_like(values) if column.per is None else _one_per_example(name, column.per, place)
        here = ~(np.isnan(values) | np.isnan(per))
        values, per, place = values[here], per[here], place[here]
        # Sums depend on their order in the last bit, and BCa counts ties: one order for every arrangement.
        order = np.lexsort((per, values, place))
        values, per, place = values[order], per[order], place[order]
        zero_or_one = bool(np.isin(values, (0.0, 1.0)).all())
        same = len(values) > 0 and bool((values == values[0]).all()) and bool((per == per[0]).all())
        return cls(
            top=np.bincount(place, values, minlength=count).astype(np.float64),
            bottom=np.bincount(place, per, minlength=count).astype(np.float64),
            examples=np.bincount(place, minlength=count).astype(np.float64),
            proportion=column.proportion and column.per is None and zero_or_one,
            constant=same,
        )

    @property
    def n(self) -> int:
        return int(self.examples.sum())

    @property
    def value(self) -> float | None:
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, answered below
            here = self.examples > 0
            top, bottom = float(self.top[here].sum()), float(self.bottom[here].sum())
        if not self.n or bottom == 0 or math.isnan(top / bottom):
            return None
        return top / bottom

    def settled(self, level: float) -> Interval | None:
        """The answer where no resampling is needed, else None."""
        value, n = self.value, self.n
        clusters = int((self.examples > 0).sum())
        if value is None or not math.isfinite(value):
            return Interval(value, None, None, n)
        if self.proportion and clusters == n:
            return Interval(value, *_wilson(value * n, n, level), n)
        if clusters < 2:
            return Interval(value, None, None, n)
        if self.proportion and self.constant:
            return Interval(value, *_wilson(value * clusters, clusters, level), n)
        if self.constant:
            return Interval(value, value, value, n)
        return None


def _places(clusters: Sequence[str] | npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], int]:
    """Each example's cluster by number; numbered by label, so that the examples' order does not matter."""
    labels, place = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return place.reshape(-1), len(labels)


def _one_per_example(name: str, values: npt.ArrayLike, place: npt.NDArray[np.intp]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != place.shape:
        raise ValueError(
            f"column '{name}' has shape {array.shape} for {len(place)} cluster labels; "
            "give one value and one label per example"
        )
    return array


def _wilson(successes: float, n: int, level: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(round(successes), n).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def _widened(level: float, clusters: int) -> float:
    """The nominal level whose normal quantile is the t quantile of `level`, for `clusters` clusters."""
    from scipy.special import ndtr, stdtrit

    reach = stdtrit(clusters - 1, 0.5 + level / 2) * math.sqrt(clusters / (clusters - 1))
    return float(2 * ndtr(reach) - 1)


def _bootstrapped(
    waiting: Mapping[str, _Sums], level: float, resamples: int, seed: int
) -> dict[str, Interval]:
    """One bootstrap for all columns on the same clusters; a cluster without values does not exist."""
    alike: dict[bytes, list[str]] = {}
    for name, sums in waiting.items():
        alike.setdefault((sums.examples > 0).tobytes(), []).append(name)
    found: dict[str, Interval] = {}
    for names in alike.values():
        here = waiting[names[0]].examples > 0
        ratios = _Ratios([waiting[name] for name in names], here)
        lows, highs = _bounds(ratios, _widened(level, ratios.count), resamples, seed)
        for name, low, high in zip(names, lows, highs, strict=True):
            found[name] = Interval(waiting[name].value, _finite(low), _finite(high), waiting[name].n)
    return found


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _bounds(ratios: _Ratios, level: float, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """The interval of every column: [columns] each."""
    from scipy.stats import bootstrap

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # where BCa is degenerate, percentiles answer below
        drawn = np.concatenate(
            [ratios.figures(held) for held in _resampled(ratios.count, resamples, seed)], axis=1
        )
        earlier: Any = SimpleNamespace(bootstrap_distribution=drawn)
        result = bootstrap(
            (np.arange(ratios.count),),
            ratios,
            n_resamples=0,
            bootstrap_result=earlier,
            vectorized=True,
            confidence_level=level,
            method="BCa" if ratios.count <= MOST_FOR_BCA else "percentile",
        )
        low, high = (np.array(bound, ndmin=1) for bound in result.confidence_interval)
        unknown = np.isnan(low) | np.isnan(high) | np.isnan(drawn).any(axis=1)
        if unknown.any():
            tail = (1 - level) / 2
            low[unknown], high[unknown] = np.nanquantile(drawn[unknown], [tail, 1 - tail], axis=1)
    return low, high


def _resampled(count: int, resamples: int, seed: int) -> Iterable[Floats]:
    """How often each resample holds each of `count` clusters: [some resamples, clusters] at a time.

    Figures are asked for by the thousand with the same few counts, so small ones are kept.
    """
    if count * resamples <= _ELEMENTS_AT_ONCE // 8:
        return _kept(count, resamples, seed)
    return _drawn(count, resamples, seed)


@lru_cache(maxsize=16)
def _kept(count: int, resamples: int, seed: int) -> tuple[Floats, ...]:
    return tuple(_drawn(count, resamples, seed))


def _drawn(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS_AT_ONCE // count)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        yield _held(rng.integers(count, size=(rows, count)), count)


def _held(chosen: npt.NDArray[np.intp], count: int) -> Floats:
    """How often each row of `chosen` [rows, draws] names each cluster: [rows, clusters]."""
    rows = len(chosen)
    slots = chosen + np.arange(rows)[:, None] * count
    return np.bincount(slots.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


class _Ratios:
    """The columns' figures for resampled clusters, as scipy calls a vectorised statistic."""

    def __init__(self, columns: Sequence[_Sums], here: npt.NDArray[np.bool_]) -> None:
        self.count = int(here.sum())
        self.top = np.stack([column.top[here] for column in columns], axis=1)
        self.bottom = np.stack([column.bottom[here] for column in columns], axis=1)

    def __call__(self, chosen: npt.NDArray[Any], axis: int = -1) -> Floats:
        """`chosen` clusters [..., clusters] → figures [columns, ...]."""
        flat = np.asarray(chosen).reshape(-1, chosen.shape[-1]).astype(np.intp)
        return self.figures(_held(flat, self.count)).reshape(-1, *chosen.shape[:-1])

    def figures(self, held: Floats) -> Floats:
        """All columns' figures from how often each resample holds each cluster: [columns, resamples].

        Counts turn every sum into one matrix product.
        """
        with np.errstate(all="ignore"):
            return np.ascontiguousarray(((held @ self.top) / (held @ self.bottom)).T)
