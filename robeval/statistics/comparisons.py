"""Whether two figures differ, by how much, and how sure that is. A difference is always second minus first.

Examples that both figures share are paired; figures over different examples are compared as two samples.
As for intervals, whole clusters are resampled and shuffled, and a family of comparisons over the same clusters
shares its resamples. `holm` (holm.py) corrects a family's p-values; power.py says what a test could have seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy.typing as npt

from robeval.statistics.contrasts import Contrast, Differences
from robeval.statistics.intervals import RESAMPLES, Column, Interval, _bounds, _finite, _places, _widened
from robeval.statistics.permutations import Alternative, enough_shuffles, label_test, sign_test
from robeval.statistics.power import detectable_difference

K = TypeVar("K", bound=Hashable)
Clusters = Sequence[str] | npt.NDArray[Any]


class Comparison(NamedTuple):
    """Two figures of one quantity and how they differ.

    `first` and `second` are taken over the examples that are compared. `difference` is second minus first,
    `effect` the same in standard deviations: of the examples' differences when paired, else of the examples
    (root of the mean variance). `p` is never 0; None where there is nothing to test. `spread` is the
    difference's standard error × sqrt(clusters). Figures that cannot be known are None.
    """

    first: float | None
    second: float | None
    difference: Interval
    effect: Interval
    p: float | None
    paired: bool
    clusters: int
    spread: float | None
    proportion: bool

    def detectable(
        self, *, power: float = 0.8, alpha: float = 0.05, alternative: Alternative = "two-sided"
    ) -> float | None:
        """The smallest true difference that this comparison would have found with probability `power`.

        inf where no difference could be found (too few clusters); None where the spread is not known, and
        where it is 0, unless the figure is a paired proportion: equal pairs say nothing of how others vary.
        """
        shares = self.paired and self.proportion
        if self.spread is None or (self.spread == 0 and not shares):
            return None
        return detectable_difference(
            self.clusters,
            self.spread,
            power=power,
            alpha=alpha,
            alternative=alternative,
            proportion=shares,
        )


def paired_comparison(
    first: Column,
    second: Column,
    clusters: Clusters,
    *,
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    shuffles: int | None = None,
    seed: int = 0,
) -> Comparison:
    """`paired_comparisons` of a single pair."""
    return paired_comparisons(
        {"": (first, second)},
        clusters,
        alternative=alternative,
        level=level,
        resamples=resamples,
        shuffles=shuffles,
        seed=seed,
    )[""]


def paired_comparisons(
    pairs: Mapping[K, tuple[Column, Column]],
    clusters: Clusters,
    *,
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    shuffles: int | None = None,
    seed: int = 0,
) -> dict[K, Comparison]:
    """Every pair of columns compared example by example: entry i of all columns is the same example.

    An example counts where both columns (and their `per`) apply. The interval is the clustered bootstrap's of
    `intervals`; a difference of proportions of independent examples gets Bonett and Price's. The p-value is
    that of exchanging first and second cluster by cluster (sign flips): all exchanges when clusters are few,
    else `shuffles` random ones (by default enough for a correction over the family). `alternative` "greater"
    asks whether the second figure is greater.

    Raises ValueError when a column and `clusters` differ in length.
    Source: Bonett and Price, Journal of Educational and Behavioral Statistics 37(4), 2012 (paired
    proportions); Phipson and Smyth, SAGMB 9(1), 2010 (p-values that are never 0).
    Differs: the effect of a ratio of means is standardised by its linearised per-example differences.
    """
    place, count = _places(clusters)
    found = {
        name: Contrast.paired(str(name), first, second, place, count)
        for name, (first, second) in pairs.items()
    }
    wide = _bootstrapped(found, level, resamples, seed)
    tested = {name: contrast for name, contrast in found.items() if contrast.is_finite}
    sums = [contrast.sums() for contrast in tested.values()]
    p = sign_test(sums, alternative, shuffles or enough_shuffles(len(pairs)), seed)
    chance = dict(zip(tested, p, strict=True))
    return {name: _told(contrast, *wide[name], chance.get(name)) for name, contrast in found.items()}


def unpaired_comparison(
    first: Column,
    first_clusters: Clusters,
    second: Column,
    second_clusters: Clusters,
    *,
    alternative: Alternative = "two-sided",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    shuffles: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Two figures over different examples, taken as independent samples of clusters.

    The interval is the bootstrap's over all clusters, widened as for the smaller sample; a difference of
    proportions of independent examples gets Agresti and Caffo's. The p-value is that of dealing the clusters
    to the two sides anew, by the studentised difference, which holds its level also where the sides' variances
    differ. Use it only where examples cannot be paired: it finds less.

    Raises ValueError when a column and its clusters differ in length.
    Source: Agresti and Caffo, The American Statistician 54(4), 2000; Chung and Romano, arXiv:1304.5939.
    """
    labels = [f"1 {label}" for label in first_clusters] + [f"2 {label}" for label in second_clusters]
    place, count = _places(labels)
    contrast = Contrast.unpaired(first, second, len(first_clusters), place, count)
    low_high = _bootstrapped({"": contrast}, level, resamples, seed)[""]
    p = None
    if contrast.is_finite:
        p = label_test(*contrast.sides(), alternative, shuffles or enough_shuffles(1), seed)
    return _told(contrast, *low_high, p)


Bounds = tuple[float | None, float | None]


def _bootstrapped(
    contrasts: Mapping[K, Contrast], level: float, resamples: int, seed: int
) -> dict[K, tuple[Bounds, Bounds]]:
    """The intervals of difference and effect, from one bootstrap for all contrasts on the same clusters."""
    found: dict[K, tuple[Bounds, Bounds]] = {}
    alike: dict[bytes, list[K]] = {}
    for name, contrast in contrasts.items():
        found[name] = ((None, None), (None, None))
        if not contrast.is_finite or contrast.fewest < 2:
            continue
        if contrast.deviation is None:
            found[name] = (contrast.closed_form(level) or (None, None), (None, None))
        else:
            alike.setdefault(contrast.here.tobytes(), []).append(name)
    for names in alike.values():
        chosen = [contrasts[name] for name in names]
        statistic = Differences(chosen, chosen[0].here)
        lows, highs = _bounds(statistic, _widened(level, chosen[0].fewest), resamples, seed)
        for k, (name, contrast) in enumerate(zip(names, chosen, strict=True)):
            both = [(_finite(lows[j]), _finite(highs[j])) for j in (k, k + len(names))]
            found[name] = (contrast.closed_form(level) or both[0], both[1])
    return found


def _told(contrast: Contrast, difference: Bounds, effect: Bounds, p: float | None) -> Comparison:
    return Comparison(
        first=contrast.first.value,
        second=contrast.second.value,
        difference=Interval(contrast.difference, *difference, contrast.n),
        effect=Interval(contrast.effect, *effect, contrast.n),
        p=p,
        paired=contrast.is_paired,
        clusters=contrast.clusters,
        spread=contrast.spread,
        proportion=contrast.is_proportion,
    )
