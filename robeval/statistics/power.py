"""What a comparison could have found: the smallest detectable difference, and the n that one needs."""

from __future__ import annotations

import math

import numpy as np

from robeval.statistics.permutations import Alternative

_MOST_CLUSTERS = 10**9


def detectable_difference(
    clusters: int,
    spread: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    proportion: bool = False,
) -> float:
    """The smallest true difference that a paired test at level `alpha` finds with probability `power`.

    `spread` is the standard deviation of the clusters' differences, so that the difference's standard error
    is spread / sqrt(clusters). With `proportion` (0 or 1 in every example) it is not below what the test
    needs when all changes have one direction, however small the spread. A size: for "less" read it as a
    drop. inf where so few clusters can never be significant.

    Raises ValueError for numbers that cannot be.
    Source: the power of the t test (noncentral t), which the sign-flip test of means approaches.
    """
    from scipy.special import betaincinv

    _check(clusters, spread, power, alpha)
    sides = 2 if alternative == "two-sided" else 1
    if sides * 0.5**clusters > alpha:
        return math.inf
    reach = _standardised(clusters, power, alpha, sides) / math.sqrt(clusters)
    least = reach * spread
    if not proportion:
        return least
    # Changes all in one direction vary least; so many of them make the sign test significant.
    changed = math.ceil(math.log2(sides / alpha))
    return max(least, float(betaincinv(changed, clusters - changed + 1, power)))


def clusters_needed(
    difference: float,
    spread: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    proportion: bool = False,
) -> int:
    """The fewest clusters whose `detectable_difference` is at most `difference`, a size above 0.

    Raises ValueError for numbers that cannot be, or when a billion clusters do not suffice.
    """
    _check(2, spread, power, alpha)
    if not difference > 0:
        raise ValueError(f"a difference of {difference} needs no test; give its size, above 0")

    def suffices(clusters: int) -> bool:
        found = detectable_difference(
            clusters, spread, power=power, alpha=alpha, alternative=alternative, proportion=proportion
        )
        return found <= difference

    enough = 2
    while not suffices(enough):
        enough *= 2
        if enough > _MOST_CLUSTERS:
            raise ValueError(f"no {_MOST_CLUSTERS:,} clusters find a difference of {difference:g}")
    low, high = 1, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _standardised(clusters: int, power: float, alpha: float, sides: int) -> float:
    """The noncentrality at which the t test of `clusters` differences has this power."""
    from scipy.optimize import brentq
    from scipy.special import nctdtr, ndtri, stdtrit

    freedom = clusters - 1
    limit = float(stdtrit(freedom, 1 - alpha / sides))

    def missing(shift: float) -> float:
        # scipy answers NaN where the far tail underflows.
        other = float(np.nan_to_num(nctdtr(freedom, shift, -limit))) if sides == 2 else 0.0
        return power - (1 - float(nctdtr(freedom, shift, limit)) + other)

    if missing(0.0) >= 0:
        top = limit + float(ndtri(power)) + 1
        while missing(top) > 0:
            top *= 2
        return float(brentq(missing, 0.0, top, xtol=1e-10))
    return 0.0


def _check(clusters: int, spread: float, power: float, alpha: float) -> None:
    if clusters < 1:
        raise ValueError(f"{clusters} clusters; give 1 or more")
    if not (spread >= 0 and math.isfinite(spread)):
        raise ValueError(f"a spread of {spread}; give a finite standard deviation, 0 or more")
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power {power} and alpha {alpha} must lie between 0 and 1")
