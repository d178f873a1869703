"""Figures, claims and how they are written."""

import pytest

from benchmarks.frame import Claim, Figure, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (4.567, "4.57"), (123.4, "123"), (12345.6, "12,346"), (0.0, "0"), (-2.5, "-2.5")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """Three digits are what a timing is worth; whole thousands are written out."""
    assert shown(value) == text


def test_a_figure_shows_its_spread() -> None:
    """The median, its unit and both ends."""
    assert str(Figure(value=1.5, unit="s", low=1.0, high=2.0)) == "1.5 s (1 to 2)"
    assert str(Figure(value=1.5)) == "1.5"


@pytest.mark.parametrize(
    ("ends", "held", "aim"),
    [
        ({}, None, ""),
        ({"at_most": 2.0}, True, "≤ 2 s"),
        ({"at_most": 1.0}, False, "≤ 1 s"),
        ({"at_least": 1.5}, True, "≥ 1.5 s"),
        ({"at_least": 1.0, "at_most": 1.2}, False, "≤ 1.2 s and ≥ 1 s"),
    ],
)
def test_a_claim_knows_whether_it_holds(ends: dict[str, float], held: bool | None, aim: str) -> None:
    """A figure of 1.5 s against its aims, the ends included."""
    claim = Claim(what="it", figure=Figure(value=1.5, unit="s"), **ends)
    assert (claim.held, claim.aim) == (held, aim)
