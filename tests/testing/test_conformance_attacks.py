"""Every attack that ships with robeval keeps the contract."""

import pytest

from robeval.testing.conformance import Bound, known, suite

# Their victims take minutes rather than seconds.
SLOW = ("ranking", "diffusion")
# Searches whose population or restarts cost more than their steps.
SETTINGS = {
    "trajectory/search": {"options": {"restarts": 2, "iterations": 2}},
    "trajectory/search-plus": {"options": {"restarts": 2, "iterations": 2}},
    "trajectory/sa-attack": {"options": {"restarts": 2, "iterations": 2}},
}


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param(bound, id=bound.id, marks=[pytest.mark.slow] if bound.bench.domain_name in SLOW else [])
        for bound in suite("attack", known(), SETTINGS)
    ],
)
def test_attack(bound: Bound) -> None:
    """The check holds, or does not apply."""
    bound()
