"""Holm's correction: by hand, and its error rate over whole families."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robeval.statistics.comparisons import paired_comparisons
from robeval.statistics.holm import holm
from robeval.statistics.intervals import Column

P_VALUES = st.lists(st.floats(0.0, 1.0), max_size=30)


def test_a_hand_computed_family() -> None:
    """0.01 × 4, 0.02 × 3, 0.03 × 2 = 0.06 again, 0.9 × 1, given back in the order of the tests."""
    assert holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])


def test_untested_comparisons_stay_untested() -> None:
    """None does not count for the size of the family."""
    assert holm([None, 0.02, None, 0.5]) == [None, pytest.approx(0.04), None, 0.5]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(P_VALUES)
def test_a_correction_lies_between_the_p_value_and_bonferronis(p: list[float]) -> None:
    """p ≤ adjusted ≤ min(1, m p) for the smallest, never above 1, and the order is kept."""
    adjusted = [value for value in holm(p) if value is not None]
    assert all(one <= other <= 1 for one, other in zip(p, adjusted, strict=True))
    if p:
        assert min(adjusted) == pytest.approx(min(1.0, min(p) * len(p)))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(p)) for j in range(len(p)) if p[i] <= p[j])


@pytest.mark.parametrize("effects", [0, 5])
def test_a_whole_family_errs_as_rarely_as_its_level_says(effects: int) -> None:
    """Of 100 families of 8 tests at most about 5 % have any false finding, also beside true ones."""
    _errs_as_rarely(effects, families=100, most=0.11)


@pytest.mark.slow
@pytest.mark.parametrize("effects", [0, 3, 6])
def test_the_family_wise_error_rate_holds_in_a_long_simulation(effects: int) -> None:
    """Of 2000 families at most 6 % have any false finding."""
    _errs_as_rarely(effects, families=2000, most=0.06)


def _errs_as_rarely(effects: int, families: int, most: float) -> None:
    rng = np.random.default_rng(effects)
    labels = [f"e{k}" for k in range(40)]
    shift = np.where(np.arange(8) < effects, 1.0, 0.0)
    pairs = {
        (family, member): (Column(np.zeros(40)), Column(rng.normal(shift[member], 1.0, 40)))
        for family in range(families)
        for member in range(8)
    }
    found = paired_comparisons(pairs, labels, resamples=50, shuffles=1999)
    errors, finds = 0, 0
    for family in range(families):
        adjusted = holm([found[family, member].p for member in range(8)])
        errors += any(adjusted[member] <= 0.05 for member in range(effects, 8))  # type: ignore[operator]
        finds += sum(adjusted[member] <= 0.05 for member in range(effects))  # type: ignore[operator]
    assert 0.005 <= errors / families <= most
    assert finds >= 0.95 * families * effects
