"""The attack keeps the contract of robeval."""

import pytest
from robeval_drift.drift import Drift

from robeval.testing import checks


@pytest.mark.parametrize("check", checks("attack", Drift, domain="trajectory"), ids=str)
def test_contract(check) -> None:
    """A failure says what is wrong and what to do."""
    check()
