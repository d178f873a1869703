"""Every attack that ships with robeval keeps the contract."""

import pytest

from robeval.testing.conformance import Bound, known, suite

# Searches whose population or restarts cost more than their steps.
SETTINGS = {
    "trajectory/search": {"options": {"restarts": 2, "iterations": 2}},
    "trajectory/search-plus": {"options": {"restarts": 2, "iterations": 2}},
    "trajectory/sa-attack": {"options": {"restarts": 2, "iterations": 2}},
}


@pytest.mark.parametrize("bound", suite("attack", known(), SETTINGS), ids=lambda bound: bound.id)
def test_attack(bound: Bound) -> None:
    """The check holds, or does not apply."""
    bound()
