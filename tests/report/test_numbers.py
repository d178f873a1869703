"""Figures as people read them."""

import math

import pytest

from robeval.report.numbers import amount, bounds, half_width, number, span
from robeval.results.records import Figure, MetricRecord

METRES = MetricRecord(name="ade", unit="m", direction="lower", column="ade")
SHARE = MetricRecord(name="success", unit="", direction="lower", column="success", kind="proportion")


def _figure(value: float | None, low: float | None, high: float | None) -> Figure:
    return Figure(value=value, low=low, high=high, unit="m", direction="lower", n=9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.337, "5.34"),
        (-0.001, "0.00"),
        (None, "–"),
        (math.inf, "∞"),
        (12345.678, "12345.68"),
        (3.2e9, "3.20e+09"),
    ],
)
def test_numbers_keep_the_digits_of_their_metric(value: float | None, text: str) -> None:
    """Two decimals of a metre; no minus zero; nothing is cut off."""
    assert number(value, METRES) == text


def test_proportions_are_percentages() -> None:
    """0.375 reads 38, and so do the ends of its interval."""
    assert number(0.375, SHARE) == "38"
    assert bounds(_figure(0.375, 0.3, 0.451), SHARE) == "[30, 45]"


def test_the_half_width_reaches_the_farther_end() -> None:
    """An asymmetric interval is never shown narrower than it is."""
    assert half_width(_figure(2.0, 1.9, 2.5), METRES) == "±0.50"
    assert half_width(_figure(2.0, 1.2, 2.5), METRES) == "±0.80"


def test_an_unknown_interval_is_said_to_be_unknown() -> None:
    """A single example shows ±? rather than nothing or zero."""
    assert half_width(_figure(2.0, None, None), METRES) == "±?"


def test_costs_are_whole_or_have_one_decimal() -> None:
    """Thousands are separated; a span names its ends."""
    assert [amount(value) for value in (0.0, 1.54, 202.0, 12800.0)] == ["0", "1.5", "202", "12,800"]
    assert span([604.0, 151.0, 151.2]) == "151–604"
    assert span([7.0, 7.0]) == "7"
