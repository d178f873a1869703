"""Every victim that ships with robeval keeps the contract."""

import pytest

from robeval.testing.conformance import Bound, known, suite


@pytest.mark.parametrize("bound", suite("victim", known()), ids=lambda bound: bound.id)
def test_victim(bound: Bound) -> None:
    """The check holds, or does not apply."""
    bound()
