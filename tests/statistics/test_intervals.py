"""Intervals hold what they promise: coverage, exact cases, and independence from the examples' order."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from robeval.statistics.intervals import Column, Interval, interval, intervals


def _labels(count: int) -> list[str]:
    return [f"example-{number}" for number in range(count)]


def _coverage(draw: Callable[[], Column], truth: float, clusters: list[str], columns: int = 600) -> float:
    found = intervals({str(k): draw() for k in range(columns)}, clusters, resamples=1000)
    return float(np.mean([i.low <= truth <= i.high for i in found.values()]))  # type: ignore[operator]


def test_the_mean_of_independent_examples_is_covered_95_times_in_100() -> None:
    """Of 600 simulated means of 96 normal values, 92 to 98 % lie in their interval."""
    rng = np.random.default_rng(1)
    coverage = _coverage(lambda: Column(rng.normal(3.0, 2.0, 96)), 3.0, _labels(96))
    assert 0.92 <= coverage <= 0.98


def test_a_skewed_mean_is_covered() -> None:
    """Exponential values (displacement errors look like that) are covered as well."""
    rng = np.random.default_rng(2)
    assert 0.92 <= _coverage(lambda: Column(rng.exponential(size=120)), 1.0, _labels(120)) <= 0.98


def test_a_ratio_of_means_is_covered() -> None:
    """The interval of mean(values) / mean(per) covers the true ratio."""
    rng = np.random.default_rng(3)

    def draw() -> Column:
        per = rng.uniform(1.0, 2.0, 80)
        return Column(per * rng.normal(1.5, 0.3, 80), per)

    assert 0.92 <= _coverage(draw, 1.5, _labels(80)) <= 0.98


def test_clustered_examples_are_covered_only_because_clusters_are_resampled() -> None:
    """With four correlated examples a scene the interval covers; taking them for independent it does not."""
    rng = np.random.default_rng(4)
    scenes = [f"scene-{number // 4}" for number in range(120)]

    def draw() -> Column:
        return Column(np.repeat(rng.normal(size=30), 4) + 0.5 * rng.normal(size=120))

    assert 0.92 <= _coverage(draw, 0.0, scenes) <= 0.98
    assert _coverage(draw, 0.0, _labels(120)) < 0.85


def test_a_proportion_of_clustered_examples_is_covered() -> None:
    """Successes that depend on the scene are bootstrapped by scene and covered."""
    rng = np.random.default_rng(5)
    scenes = [f"scene-{number // 3}" for number in range(120)]

    def draw() -> Column:
        chance = np.repeat(rng.beta(2, 4, size=40), 3)
        return Column((rng.random(120) < chance).astype(float), proportion=True)

    assert 0.92 <= _coverage(draw, 1 / 3, scenes) <= 0.985


def test_the_proportion_of_independent_examples_is_wilsons() -> None:
    """30 of 100 gives Wilson's closed form, (p + z²/2n ± z sqrt(pq/n + z²/4n²)) / (1 + z²/n)."""
    z, n, p = 1.959963984540054, 100, 0.3
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = interval([1.0] * 30 + [0.0] * 70, _labels(100), proportion=True)
    assert found == pytest.approx((0.3, middle - reach, middle + reach, 100))


def test_no_success_at_all_still_has_a_width() -> None:
    """0 of 50 is not certainty, neither with independent examples nor with clustered ones."""
    zeros = np.zeros(50)
    free = interval(zeros, _labels(50), proportion=True)
    clustered = interval(zeros, [f"scene-{k // 5}" for k in range(50)], proportion=True)
    assert free.low == pytest.approx(0.0, abs=1e-12)
    assert free.high is not None
    assert clustered.high is not None
    assert 0.0 < free.high < clustered.high


def test_shares_between_0_and_1_are_not_taken_for_proportions() -> None:
    """A column of shares (misses over windows) is bootstrapped although it is declared a proportion."""
    shares = np.linspace(0.4, 0.6, 60)
    found = interval(shares, _labels(60), proportion=True)
    assert found.low is not None
    assert found.low > 0.48


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 5))
def test_the_order_of_the_examples_does_not_matter(seed: int, count: int, share: int) -> None:
    """Shuffling examples with their clusters changes neither value nor interval."""
    rng = np.random.default_rng(seed)
    values, names = rng.normal(size=count), np.array([f"c{k // share}" for k in range(count)])
    order = rng.permutation(count)
    first = interval(values, names, resamples=200)
    assert interval(values[order], names[order], resamples=200) == first


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60))
def test_an_interval_lies_around_its_value(seed: int, count: int) -> None:
    """low ≤ value ≤ high for independent examples of any size."""
    found = interval(np.random.default_rng(seed).normal(size=count), _labels(count), resamples=500)
    assert found.low <= found.value <= found.high  # type: ignore[operator]


def test_the_same_seed_gives_the_same_interval() -> None:
    """Two calls agree bit for bit; another seed gives another, nearby interval; global seeds play no part."""
    values = np.random.default_rng(6).exponential(size=50)
    np.random.seed(1)  # noqa: NPY002 (that the global generator is ignored is the point)
    first = interval(values, _labels(50), seed=3)
    np.random.seed(2)  # noqa: NPY002
    assert interval(values, _labels(50), seed=3) == first
    other = interval(values, _labels(50), seed=4)
    assert other != first
    assert other.low == pytest.approx(first.low, rel=0.05)


def test_columns_do_not_disturb_each_other() -> None:
    """A column has the same interval alone and among others, also beside one with values left out."""
    rng = np.random.default_rng(7)
    values, holes = rng.normal(size=40), rng.normal(size=40)
    holes[::3] = np.nan
    together = intervals({"a": Column(values), "b": Column(holes)}, _labels(40))
    for name, column in {"a": values, "b": holes}.items():
        assert together[name] == pytest.approx(interval(column, _labels(40)), abs=1e-12)


def test_nan_is_left_out() -> None:
    """A column with NaN is the column without those examples: same n, value and interval."""
    values = np.random.default_rng(8).normal(size=30)
    holes = np.concatenate([values, [np.nan] * 10])
    assert interval(holes, _labels(40)) == interval(values, _labels(30))


def test_a_ratio_uses_the_examples_where_both_apply() -> None:
    """mean(values) / mean(per) over complete pairs: (2 + 4) / (1 + 1), not (2 + 4 + 9) / ..."""
    found = interval([2.0, 4.0, 9.0, np.nan], _labels(4), per=[1.0, 1.0, np.nan, 5.0])
    assert (found.value, found.n) == (3.0, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Interval(None, None, None, 0)),
        ([math.nan], Interval(None, None, None, 0)),
        ([2.5], Interval(2.5, None, None, 1)),
        ([2.5, 2.5, 2.5], Interval(2.5, 2.5, 2.5, 3)),
        ([1.0, math.inf], Interval(math.inf, None, None, 2)),
        ([math.inf, -math.inf], Interval(None, None, None, 2)),
    ],
)
def test_what_cannot_be_known_is_none(values: list[float], expected: Interval) -> None:
    """Nothing, one example and infinite values have no interval; constant values have one of width zero."""
    assert interval(values, _labels(len(values))) == expected


def test_one_cluster_has_no_interval() -> None:
    """Many examples of a single scene say nothing about other scenes."""
    assert interval([1.0, 2.0, 3.0], ["scene"] * 3) == Interval(2.0, None, None, 3)


def test_a_ratio_over_zero_is_none() -> None:
    """A denominator that is zero everywhere gives no value rather than a warning or infinity."""
    assert interval([1.0, 2.0], _labels(2), per=[0.0, 0.0]).value is None


def test_a_denominator_that_resamples_to_zero_keeps_an_interval() -> None:
    """Resamples without a usable denominator are skipped, not turned into NaN."""
    found = interval([1.0, 2.0, 0.0, 0.0], _labels(4), per=[1.0, 1.0, 0.0, 0.0])
    assert found.value == 1.5
    assert found.low is not None
    assert found.high is not None


def test_columns_must_match_the_clusters() -> None:
    """Three values for two clusters' labels is an error that names both counts."""
    with pytest.raises(ValueError, match=r"shape \(3,\) for 2"):
        interval([1.0, 2.0, 3.0], ["a", "b"])


def test_few_clusters_widen_the_interval() -> None:
    """Eight normal examples are still covered about 95 times in 100, where the plain bootstrap covers 88."""
    rng = np.random.default_rng(9)
    assert _coverage(lambda: Column(rng.normal(size=8)), 0.0, _labels(8)) >= 0.92


def test_the_bootstrap_is_scipys() -> None:
    """Many skewed values give what scipy's own BCa bootstrap of the mean gives, up to resampling noise."""
    values = np.random.default_rng(11).lognormal(size=400)
    theirs = bootstrap((values,), np.mean, n_resamples=4000, random_state=np.random.default_rng(12))
    found = interval(values, _labels(400), resamples=4000)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_thousands_of_clusters_stay_cheap() -> None:
    """Beyond the BCa limit the interval is as wide as the normal theory says."""
    values = np.random.default_rng(10).normal(size=3000)
    found = interval(values, _labels(3000), resamples=1000)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(3000), rel=0.1)  # type: ignore[operator]
