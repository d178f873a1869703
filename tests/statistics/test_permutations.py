"""The permutation tests agree with scipy's where it has them, and are exact where they can be."""

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_ind

from robeval.statistics.permutations import Alternative, enough_shuffles, label_test, sign_test

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "greater", "less")


def _sums(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, np.ones_like(first), second, np.ones_like(second)])


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("clusters", [3, 8, 12])
def test_few_clusters_are_exchanged_exactly(clusters: int, alternative: Alternative) -> None:
    """All 2^clusters exchanges give scipy's exact p-value."""
    rng = np.random.default_rng(clusters)
    first, second = rng.normal(size=clusters), rng.normal(0.5, 1.0, size=clusters)
    theirs = permutation_test(
        (second, first),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    )
    found = sign_test([_sums(first, second)], alternative, shuffles=9999, seed=0)
    assert found == [pytest.approx(theirs.pvalue)]


def test_many_clusters_are_exchanged_at_random() -> None:
    """20 clusters have a million exchanges; 20 000 random ones come close to all of them."""
    rng = np.random.default_rng(1)
    sums = [_sums(rng.normal(size=20), rng.normal(0.5, 1.0, size=20))]
    (exact,) = sign_test(sums, "two-sided", shuffles=2**20, seed=0)
    (random,) = sign_test(sums, "two-sided", shuffles=20_000, seed=0)
    assert random == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert random != exact


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_few_clusters_are_dealt_exactly(alternative: Alternative) -> None:
    """All deals of 5 + 6 clusters give scipy's exact p-value of Welch's statistic."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=5), rng.normal(0.8, 2.0, size=6)
    theirs = permutation_test(
        (second, first),
        lambda x, y, axis: ttest_ind(x, y, axis=axis, equal_var=False).statistic,
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    )
    top, is_second = np.concatenate([first, second]), np.repeat([False, True], [5, 6])
    found = label_test(top, np.ones(11), is_second, alternative, 9999, 0)
    assert found == pytest.approx(theirs.pvalue)


def test_dealing_at_random_comes_close_to_all_deals() -> None:
    """5 + 6 clusters have 462 deals; with fewer shuffles than that they are drawn."""
    rng = np.random.default_rng(3)
    top, is_second = rng.normal(size=11), np.repeat([False, True], [5, 6])
    exact = label_test(top, np.ones(11), is_second, "greater", 9999, 0)
    random = label_test(top, np.ones(11), is_second, "greater", 400, 0)
    assert random == pytest.approx(exact, abs=0.08)
    assert random * 401 == pytest.approx(round(random * 401))


def test_a_lonely_cluster_has_no_variance_and_no_significance() -> None:
    """A side of one cluster cannot be studentised: p = 1 rather than a guess."""
    top, is_second = np.arange(8.0), np.arange(8) == 7
    assert label_test(top, np.ones(8), is_second, "two-sided", 9999, 0) == 1.0


def test_large_families_shuffle_more() -> None:
    """The smallest p-value times the size of the family stays well below 0.05."""
    for family in (1, 50, 200, 1000):
        assert family / (enough_shuffles(family) + 1) <= 0.02


def test_no_pairs_need_no_test() -> None:
    """An empty family has no p-values."""
    assert sign_test([], "two-sided", 99, 0) == []
