"""Medians, ratios round by round, exponents of growth."""

import pytest

from benchmarks.arithmetic import middle, ratio, slope


def test_middle_is_the_median_with_its_ends() -> None:
    """Of 3, 1 and 10 the median is 3, from 1 to 10, in three rounds."""
    found = middle([3.0, 1.0, 10.0], "s")
    assert (found.value, found.low, found.high, found.rounds, found.unit) == (3.0, 1.0, 10.0, 3, "s")


def test_a_single_value_has_no_spread() -> None:
    """One round says nothing about the next."""
    assert (middle([2.0]).low, middle([2.0]).high) == (None, None)


def test_no_measurements_are_an_error() -> None:
    """Nothing has no median."""
    with pytest.raises(ValueError, match="at least one round"):
        middle([])


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which the machine was ten times slower for both sides does not move the ratio."""
    found = ratio([4.0, 40.0, 6.0], [2.0, 20.0, 2.0])
    assert (found.value, found.low, found.high) == (2.0, 2.0, 3.0)


def test_ratios_of_unequal_rounds_are_refused() -> None:
    """A round without its other side has no ratio."""
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_slope_of_an_exact_power_law(exponent: float) -> None:
    """Costs of 3 * size**e have the exponent e, without a doubt."""
    sizes = [1, 2, 8, 64]
    found = slope(sizes, [3.0 * size**exponent for size in sizes])
    assert found.value == pytest.approx(exponent, abs=1e-9)
    assert found.low == pytest.approx(exponent, abs=1e-6)
    assert found.high == pytest.approx(exponent, abs=1e-6)


def test_slope_of_noisy_costs_has_an_interval_around_the_truth() -> None:
    """Linear costs with a fifth of noise have an interval that holds 1 and is no point."""
    found = slope([10, 20, 40, 80, 160], [10.0, 24.0, 38.0, 90.0, 150.0])
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 < found.high
    assert found.high - found.low > 0.05


def test_two_sizes_have_no_interval() -> None:
    """A line through two points always fits."""
    with pytest.raises(ValueError, match="three"):
        slope([1, 2], [1.0, 2.0])
