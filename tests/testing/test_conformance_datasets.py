"""Every dataset that ships with robeval keeps the contract."""

import pytest

from robeval.testing.conformance import Bound, known, suite

# Their victims take minutes rather than seconds.
SLOW = ("ranking", "diffusion")


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param(bound, id=bound.id, marks=[pytest.mark.slow] if bound.bench.domain_name in SLOW else [])
        for bound in suite("dataset", known())
    ],
)
def test_dataset(bound: Bound) -> None:
    """The check holds, or does not apply."""
    bound()
