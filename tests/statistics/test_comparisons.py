"""Comparisons hold what they promise: coverage, false positives, exact cases, and independence from the order."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from robeval.statistics.comparisons import (
    Comparison,
    paired_comparison,
    paired_comparisons,
    unpaired_comparison,
)
from robeval.statistics.intervals import Column

Pair = tuple[Column, Column]


def _labels(count: int, share: int = 1) -> list[str]:
    return [f"scene-{number // share}" for number in range(count)]


def _many(draw: Callable[[], Pair], clusters: list[str], count: int) -> list[Comparison]:
    pairs = {k: draw() for k in range(count)}
    return list(paired_comparisons(pairs, clusters, resamples=1000, shuffles=999).values())


def _covered(found: list[Comparison], truth: float) -> float:
    return float(np.mean([c.difference.low <= truth <= c.difference.high for c in found]))  # type: ignore[operator]


def _rejected(found: list[Comparison], level: float = 0.05) -> float:
    return float(np.mean([c.p <= level for c in found]))  # type: ignore[operator]


def _normal(rng: np.random.Generator, count: int, shift: float) -> Pair:
    """Two correlated columns; their differences have mean `shift` and standard deviation 1."""
    shared = rng.normal(3.0, 2.0, count)
    return Column(shared), Column(shared + rng.normal(shift, 1.0, count))


def _skewed(rng: np.random.Generator, count: int, shift: float) -> Pair:
    return Column(rng.exponential(size=count)), Column(rng.exponential(1 + shift, size=count))


def _ratio(rng: np.random.Generator, count: int, shift: float) -> Pair:
    per = rng.uniform(1.0, 2.0, count)
    other = rng.uniform(1.0, 2.0, count)
    first = Column(per * rng.normal(1.5, 0.3, count), per)
    return first, Column(other * rng.normal(1.5 + shift, 0.3, count), other)


def _proportion(rng: np.random.Generator, count: int, shift: float) -> Pair:
    """Successes that fall together more often than by chance."""
    level = rng.random(count)
    both = np.where(rng.random(count) < 0.6, level, rng.random(count))
    first, second = (level < 0.4).astype(float), (both < 0.4 + shift).astype(float)
    return Column(first, proportion=True), Column(second, proportion=True)


def _clustered(rng: np.random.Generator, count: int, shift: float) -> Pair:
    """Differences that the four examples of a scene share in part."""
    scene = np.repeat(rng.normal(size=count // 4), 4)
    return Column(rng.normal(size=count)), Column(scene + rng.normal(shift, 0.5, count))


def _clustered_proportion(rng: np.random.Generator, count: int, shift: float) -> Pair:
    chance = np.repeat(rng.beta(2, 4, size=count // 4), 4)
    other = np.repeat(rng.beta(2, 4, size=count // 4), 4) + shift
    first, second = rng.random(count) < chance, rng.random(count) < other
    return Column(first.astype(float), proportion=True), Column(second.astype(float), proportion=True)


CASES = [
    pytest.param(_normal, 1, id="means"),
    pytest.param(_skewed, 1, id="skewed-means"),
    pytest.param(_ratio, 1, id="ratios-of-means"),
    pytest.param(_proportion, 1, id="proportions"),
    pytest.param(_clustered, 4, id="clustered-means"),
    pytest.param(_clustered_proportion, 4, id="clustered-proportions"),
]


def _figures(draw: Callable[..., Pair], share: int, shift: float, count: int, seed: int) -> list[Comparison]:
    rng = np.random.default_rng(seed)
    examples = 96 if share == 1 else 160
    return _many(lambda: draw(rng, examples, shift), _labels(examples, share), count)


@pytest.mark.parametrize(("draw", "share"), CASES)
def test_without_a_difference_intervals_cover_and_tests_err_as_stated(
    draw: Callable[..., Pair], share: int
) -> None:
    """Of 600 simulated comparisons, 92 to 98 % of the intervals hold 0, and about 5 % have p ≤ 0.05."""
    found = _figures(draw, share, 0.0, 600, seed=2)
    assert 0.92 <= _covered(found, 0.0) <= 0.98
    assert 0.015 <= _rejected(found) <= 0.075


@pytest.mark.parametrize(("draw", "share"), CASES)
def test_a_true_difference_is_covered(draw: Callable[..., Pair], share: int) -> None:
    """Of 300 intervals for a true difference of 0.2, 92 to 98 % hold it."""
    found = _figures(draw, share, 0.2, 300, seed=1)
    assert 0.92 <= _covered(found, 0.2) <= 0.98


def test_few_clusters_are_covered_because_intervals_are_widened() -> None:
    """Of 400 intervals over eight examples, 92 to 98 % hold the true difference; a plain bootstrap's 88 %."""
    rng = np.random.default_rng(13)
    found = _many(lambda: _normal(rng, 8, 1.0), _labels(8), 400)
    assert 0.92 <= _covered(found, 1.0) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "share"), CASES)
def test_coverage_and_level_hold_in_a_long_simulation(draw: Callable[..., Pair], share: int) -> None:
    """Of 8000 comparisons, 93 to 97 % of the intervals cover; 4 to 6 % of the tests err, fewer of McNemar's."""
    found = _figures(draw, share, 0.0, 8000, seed=3)
    assert 0.93 <= _covered(found, 0.0) <= 0.97
    least = 0.02 if draw is _proportion else 0.04  # a discrete exact test cannot use up its level
    assert least <= _rejected(found) <= 0.06


def test_examples_of_one_scene_are_not_independent() -> None:
    """Taking the scenes' examples for independent would err far more often than the level says."""
    rng = np.random.default_rng(4)
    found = _many(lambda: _clustered(rng, 160, 0.0), _labels(160), 200)
    assert _rejected(found) > 0.12
    assert _covered(found, 0.0) < 0.88


def test_the_effect_is_covered() -> None:
    """A true standardised difference of 0.5 lies in 92 to 98 % of the effect's intervals."""
    rng = np.random.default_rng(5)
    found = _many(lambda: _normal(rng, 96, 0.5), _labels(96), 400)
    inside = [c.effect.low <= 0.5 <= c.effect.high for c in found]  # type: ignore[operator]
    assert 0.92 <= np.mean(inside) <= 0.98


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda rng, n, spread, at: Column(rng.normal(at, spread, n)), id="means"),
        pytest.param(
            lambda rng, n, spread, at: Column((rng.random(n) < 0.3 + at).astype(float), proportion=True),
            id="proportions",
        ),
    ],
)
def test_samples_of_different_examples_are_covered_and_tested_at_their_level(
    draw: Callable[..., Column],
) -> None:
    """The smaller sample varies three times as much (a plain permutation test would err in 20 %)."""
    rng = np.random.default_rng(6)
    found = [
        unpaired_comparison(
            draw(rng, 30, 3.0, 0.0),
            _labels(30),
            draw(rng, 90, 1.0, 0.0),
            _labels(90),
            resamples=400,
            shuffles=199,
        )
        for _ in range(250)
    ]
    assert 0.92 <= _covered(found, 0.0) <= 0.985
    assert 0.02 <= _rejected(found) <= 0.085


def test_pairing_finds_what_two_samples_do_not() -> None:
    """A shift that is small against the examples' spread shows when each example is its own control."""
    shared = np.random.default_rng(7).normal(0.0, 5.0, 60)
    moved = shared + np.random.default_rng(8).normal(0.3, 0.5, 60)
    paired = paired_comparison(Column(shared), Column(moved), _labels(60))
    loose = unpaired_comparison(Column(shared), _labels(60), Column(moved), _labels(60))
    assert paired.difference.value == pytest.approx(loose.difference.value)
    assert paired.p is not None
    assert paired.p < 0.01
    assert loose.p is not None
    assert loose.p > 0.5


def test_a_hand_computed_comparison() -> None:
    """Differences 1, 2, 3, 6: mean 3, deviation sqrt(14 / 3), and 2 of the 16 sign patterns reach the mean."""
    found = paired_comparison(Column([0.0, 1, 2, 3]), Column([1.0, 3, 5, 9]), _labels(4))
    assert found[:2] == (1.5, 4.5)
    assert found.difference.value == 3.0
    assert found.effect.value == pytest.approx(3 / math.sqrt(14 / 3))
    assert found.p == pytest.approx(2 / 16)
    assert found.spread == pytest.approx(math.sqrt(14 / 3))
    assert found.paired
    assert (found.clusters, found.difference.n) == (4, 4)


def test_alternatives_ask_for_a_direction() -> None:
    """The same four pairs: 1 of 16 patterns is as great, all are as small."""
    first, second = Column([0.0, 1, 2, 3]), Column([1.0, 3, 5, 9])
    assert paired_comparison(first, second, _labels(4), alternative="greater").p == pytest.approx(1 / 16)
    assert paired_comparison(first, second, _labels(4), alternative="less").p == 1.0
    assert paired_comparison(second, first, _labels(4), alternative="less").p == pytest.approx(1 / 16)


def test_clusters_are_exchanged_as_a_whole() -> None:
    """Eight examples in two scenes allow four patterns, so that p cannot fall below 1/2."""
    first = Column(np.zeros(8))
    second = Column(np.arange(1.0, 9.0))
    assert paired_comparison(first, second, _labels(8, share=4)).p == pytest.approx(0.5)
    assert paired_comparison(first, second, _labels(8)).p == pytest.approx(2 / 2**8)


def test_the_test_of_paired_proportions_is_mcnemars() -> None:
    """Of 12 changed examples 2 went down: the exact binomial p-value, up to the shuffles' noise."""
    first = np.array([1.0] * 2 + [0.0] * 58)
    second = np.array([0.0] * 2 + [1.0] * 10 + [0.0] * 48)
    pair = Column(first, proportion=True), Column(second, proportion=True)
    found = paired_comparison(*pair, _labels(60), shuffles=100_000)
    assert found.p == pytest.approx(binomtest(2, 12).pvalue, rel=0.05)


def test_paired_proportions_have_bonett_and_prices_interval() -> None:
    """10 up and 2 down of 60: (11 - 3)/62 ± 1.96 sqrt((14/62 - (8/62)²) / 62)."""
    first = np.array([1.0] * 2 + [0.0] * 58)
    second = np.array([0.0] * 2 + [1.0] * 10 + [0.0] * 48)
    found = paired_comparison(Column(first, proportion=True), Column(second, proportion=True), _labels(60))
    reach = 1.959964 * math.sqrt((14 / 62 - (8 / 62) ** 2) / 62)
    assert found.difference[:3] == pytest.approx((8 / 60, 8 / 62 - reach, 8 / 62 + reach), abs=1e-6)


def test_proportions_of_different_examples_have_agresti_and_caffos_interval() -> None:
    """3 of 20 against 9 of 30: 10/32 - 4/22 ± 1.96 standard errors with one success and failure added."""
    first, second = np.repeat([1.0, 0.0], [3, 17]), np.repeat([1.0, 0.0], [9, 21])
    found = unpaired_comparison(
        Column(first, proportion=True), _labels(20), Column(second, proportion=True), _labels(30)
    )
    p, q = 4 / 22, 10 / 32
    reach = 1.959964 * math.sqrt(p * (1 - p) / 22 + q * (1 - q) / 32)
    assert found.difference[:3] == pytest.approx((0.15, q - p - reach, q - p + reach), abs=1e-6)


def test_equal_columns_do_not_differ() -> None:
    """The same run twice: difference 0, p = 1, and no claim about what could have been detected."""
    same = Column(np.random.default_rng(9).normal(size=40))
    found = paired_comparison(same, same, _labels(40))
    assert found.difference == (0.0, 0.0, 0.0, 40)
    assert found.p == 1.0
    assert found.effect.value is None
    assert found.detectable() is None


def test_equal_proportions_are_not_certain() -> None:
    """No example changed, yet the interval has a width and the detectable drop is not 0."""
    same = Column(np.repeat([0.0, 1.0], 48), proportion=True)
    for labels in (_labels(96), _labels(96, share=2)):
        found = paired_comparison(same, same, labels)
        assert found.difference.low < 0 < found.difference.high  # type: ignore[operator]
        assert found.detectable() > 0.05  # type: ignore[operator]


def test_a_huge_difference_never_has_p_zero() -> None:
    """The observed arrangement counts among the shuffled ones."""
    first = np.random.default_rng(10).normal(size=80)
    assert paired_comparison(Column(first), Column(first + 100), _labels(80), shuffles=999).p == 1 / 1000
    loose = unpaired_comparison(
        Column(first), _labels(80), Column(first + 100), _labels(80), shuffles=999, resamples=100
    )
    assert loose.p == 2 / 1000


def test_only_examples_with_both_values_count() -> None:
    """NaN on either side takes the pair out, so the figures are those of the rest."""
    rng = np.random.default_rng(11)
    first, second = rng.normal(size=30), rng.normal(size=30)
    holes, other = first.copy(), second.copy()
    holes[:3], other[5:7] = np.nan, np.nan
    kept = ~(np.isnan(holes) | np.isnan(other))
    labels = np.array(_labels(30))
    found = paired_comparison(Column(holes), Column(other), labels)
    alone = paired_comparison(Column(first[kept]), Column(second[kept]), labels[kept])
    assert found.difference.n == 25
    assert found.first == pytest.approx(first[kept].mean())
    assert found.difference == pytest.approx(alone.difference)


def test_a_ratio_of_means_is_compared_as_such() -> None:
    """(2 + 4) / (1 + 1) against (3 + 9) / (1 + 3): both ratios are 3, whatever the examples' own ratios."""
    found = paired_comparison(
        Column([2.0, 4.0], per=[1.0, 1.0]), Column([3.0, 9.0], per=[1.0, 3.0]), _labels(2)
    )
    assert (found.first, found.second, found.difference.value) == (3.0, 3.0, 0.0)
    assert found.p == 1.0


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_infinite_values_are_not_tested(bad: float) -> None:
    """An infinite difference has no interval and no p-value, and does not disturb its family."""
    values = np.random.default_rng(12).normal(size=20)
    broken = values.copy()
    broken[4] = bad
    fine = Column(values), Column(values[::-1].copy())
    found = paired_comparisons({"broken": (Column(values), Column(broken)), "fine": fine}, _labels(20))
    assert found["broken"].p is None
    assert found["broken"].difference[1:3] == (None, None)
    assert found["broken"].detectable() is None
    assert found["fine"].p == paired_comparison(*fine, _labels(20), shuffles=9999).p


def test_nothing_to_compare_is_no_error() -> None:
    """Columns that never apply together give no figure, no interval and no p-value."""
    left, right = np.array([1.0, np.nan]), np.array([np.nan, 1.0])
    found = paired_comparison(Column(left), Column(right), _labels(2))
    assert found.first is None
    assert found.difference == (None, None, None, 0)
    assert found.p is None


def test_a_single_cluster_proves_nothing() -> None:
    """One scene gives a value, no interval, and p = 1."""
    found = paired_comparison(Column([0.0, 0.0]), Column([1.0, 2.0]), ["scene", "scene"])
    assert found.difference == (1.5, None, None, 2)
    assert found.p == 1.0


def test_lengths_must_agree() -> None:
    """A column of another length than the clusters is refused."""
    with pytest.raises(ValueError, match="one value and one label per example"):
        paired_comparison(Column([1.0, 2.0]), Column([1.0]), _labels(2))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 4))
def test_the_order_of_the_examples_does_not_matter(seed: int, count: int, share: int) -> None:
    """Shuffling the examples with their clusters changes nothing."""
    rng = np.random.default_rng(seed)
    x, y, labels = rng.normal(size=count), rng.normal(size=count), np.array(_labels(count, share))
    order = rng.permutation(count)
    one = paired_comparison(Column(x), Column(y), labels, resamples=100, shuffles=99)
    two = paired_comparison(Column(x[order]), Column(y[order]), labels[order], resamples=100, shuffles=99)
    assert two.difference == pytest.approx(one.difference)
    assert two.p == one.p


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(6, 30))
def test_turning_a_comparison_round_turns_its_sign(seed: int, count: int) -> None:
    """Second minus first becomes first minus second: the same size, p-value and spread."""
    rng = np.random.default_rng(seed)
    x, y = Column(rng.normal(size=count)), Column(rng.normal(size=count))
    one = paired_comparison(x, y, _labels(count), resamples=100, shuffles=99)
    two = paired_comparison(y, x, _labels(count), resamples=100, shuffles=99)
    assert two.difference.value == pytest.approx(-one.difference.value)  # type: ignore[operator]
    assert two.effect.value == pytest.approx(-one.effect.value)  # type: ignore[operator]
    assert two.p == one.p
    assert two.spread == pytest.approx(one.spread)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100.0))
def test_the_unit_does_not_matter(seed: int, scale: float) -> None:
    """In other units the difference scales, effect and p-value stay."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=24), rng.normal(0.5, 1.0, size=24)
    one = paired_comparison(Column(x), Column(y), _labels(24), resamples=100, shuffles=99)
    two = paired_comparison(Column(scale * x), Column(scale * y), _labels(24), resamples=100, shuffles=99)
    assert two.difference.low == pytest.approx(scale * one.difference.low, rel=1e-6)  # type: ignore[operator]
    assert two.effect == pytest.approx(one.effect, rel=1e-6)
    assert two.p == one.p
