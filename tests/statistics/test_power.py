"""The detectable difference: known sample sizes, consistency, and the power that simulations find."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from robeval.statistics.comparisons import paired_comparisons
from robeval.statistics.intervals import Column
from robeval.statistics.permutations import Alternative
from robeval.statistics.power import clusters_needed, detectable_difference


@pytest.mark.parametrize(
    ("effect", "power", "alternative", "clusters"),
    [
        (0.2, 0.8, "two-sided", 199),
        (0.5, 0.8, "two-sided", 34),
        (0.8, 0.8, "two-sided", 15),
        (0.5, 0.8, "greater", 27),
        (0.5, 0.95, "two-sided", 54),
    ],
)
def test_textbook_sample_sizes(effect: float, power: float, alternative: Alternative, clusters: int) -> None:
    """The numbers of pairs that G*Power prints for a paired t test at 0.05."""
    assert clusters_needed(effect, 1.0, power=power, alternative=alternative) == clusters


def test_large_samples_follow_the_normal_formula() -> None:
    """(1.96 + 0.84) · spread / sqrt(n) with 10 000 clusters."""
    assert detectable_difference(10_000, 3.0) == pytest.approx((1.959964 + 0.841621) * 3 / 100, rel=1e-3)


@settings(max_examples=40)
@given(
    st.integers(8, 3000),
    st.floats(0.01, 50.0),
    st.floats(0.5, 0.99),
    st.sampled_from([0.05, 0.01]),
    st.booleans(),
)
def test_difference_and_clusters_answer_each_other(
    clusters: int, spread: float, power: float, alpha: float, proportion: bool
) -> None:
    """What n clusters can detect needs n clusters, and no fewer."""

    def seen(count: int) -> float:
        return detectable_difference(count, spread, power=power, alpha=alpha, proportion=proportion)

    needed = clusters_needed(seen(clusters), spread, power=power, alpha=alpha, proportion=proportion)
    assert needed <= clusters
    assert seen(needed) <= seen(clusters)
    if not proportion:
        assert needed == clusters


@pytest.mark.parametrize(("power", "alternative"), [(0.5, "two-sided"), (0.8, "two-sided"), (0.8, "greater")])
def test_the_detectable_difference_is_found_as_often_as_stated(
    power: float, alternative: Alternative
) -> None:
    """Of 800 simulated comparisons of 30 clusters with that true difference, a share of `power` is significant."""
    rng = np.random.default_rng(1)
    shift = detectable_difference(30, 2.0, power=power, alternative=alternative)
    pairs = {k: (Column(np.zeros(30)), Column(rng.normal(shift, 2.0, 30))) for k in range(800)}
    found = paired_comparisons(
        pairs, [f"e{k}" for k in range(30)], alternative=alternative, resamples=50, shuffles=999
    )
    assert np.mean([c.p <= 0.05 for c in found.values()]) == pytest.approx(power, abs=0.05)  # type: ignore[operator]


def test_a_comparison_knows_what_it_could_have_found() -> None:
    """`Comparison.detectable` of scenes of four examples is close to what the scenes' spread says."""
    rng = np.random.default_rng(2)
    scene = np.repeat(rng.normal(size=50), 4)
    labels = [f"scene-{k // 4}" for k in range(200)]
    pairs = {0: (Column(np.zeros(200)), Column(scene + 1e-3 * rng.normal(size=200)))}
    found = paired_comparisons(pairs, labels)[0]
    assert found.spread == pytest.approx(scene[::4].std(ddof=1), rel=0.01)
    assert found.detectable() == pytest.approx(detectable_difference(50, found.spread or 0.0))


def test_one_sided_changes_of_a_proportion_are_found_as_often_as_stated() -> None:
    """With 96 examples that never changed before, a true drop of the stated size is found 80 times in 100."""
    drop = detectable_difference(96, 0.0, proportion=True)
    rng = np.random.default_rng(3)
    ones = Column(np.ones(96), proportion=True)
    pairs = {k: (ones, Column((rng.random(96) >= drop).astype(float), proportion=True)) for k in range(400)}
    found = paired_comparisons(pairs, [f"e{k}" for k in range(96)], resamples=50, shuffles=999)
    assert np.mean([c.p <= 0.05 for c in found.values()]) == pytest.approx(0.8, abs=0.06)  # type: ignore[operator]


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 30, 0.05 / 3000, 0.2])
@pytest.mark.parametrize("clusters", [20, 96, 2000, 10**6])
def test_corrected_levels_have_a_detectable_difference(clusters: int, alpha: float) -> None:
    """Levels divided by the size of a family stay computable, and close to the normal formula."""
    found = detectable_difference(clusters, 1.0, alpha=alpha)
    normal = (ndtri(1 - alpha / 2) + ndtri(0.8)) / math.sqrt(clusters)
    assert 0.999 * normal <= found <= normal * (1 + 20 / clusters)


def test_too_few_clusters_find_nothing() -> None:
    """Five clusters have 32 sign patterns, so that p is never below 2/32: no difference is large enough."""
    assert detectable_difference(5, 1.0) == math.inf
    assert detectable_difference(5, 1.0, alternative="greater") < math.inf
    assert clusters_needed(1e9, 1.0) == 6


def test_impossible_numbers_are_refused() -> None:
    """A negative spread, a power of 1 and a difference of 0 are named in the message."""
    with pytest.raises(ValueError, match="spread of -1"):
        detectable_difference(10, -1.0)
    with pytest.raises(ValueError, match="power 1"):
        detectable_difference(10, 1.0, power=1.0)
    with pytest.raises(ValueError, match="difference of 0"):
        clusters_needed(0.0, 1.0)
    with pytest.raises(ValueError, match="no 1,000,000,000 clusters"):
        clusters_needed(1e-9, 1.0)
