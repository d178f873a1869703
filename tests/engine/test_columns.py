"""Figures that only all examples together have."""

import numpy as np
import pytest
from torch import Tensor

from robeval.engine.columns import settled
from robeval.errors import PluginError
from robeval.results.rows import TEXTS, Rows
from robeval.testing.linear import LinearDomain


class Spread(LinearDomain):
    """How far each example's numbers are from the mean of all."""

    def settle(self, name: str, values: Tensor) -> Tensor:
        return (values - values.mean(dim=0)).norm(dim=1)


class Careless(LinearDomain):
    """One value for all."""

    def settle(self, name: str, values: Tensor) -> Tensor:
        return values.mean(dim=0)


@pytest.fixture
def rows() -> Rows:
    """Two chunks of a cell: a value each, and a row of two numbers each."""
    wide = [np.array([[0.0, 0.0], [6.0, 0.0]]), np.array([[0.0, 9.0]])]
    return Rows.join(
        [
            Rows({name: [""] * len(part) for name in TEXTS}, {"plain": part[:, 0], "set": part}, {}, {})
            for part in wide
        ]
    )


def test_rows_of_numbers_are_settled_over_all_examples(rows: Rows) -> None:
    """The mean is that of all three examples, not of the chunk; what has one value each stays."""
    found = settled(Spread(), rows)
    np.testing.assert_allclose(found.columns["set"], [13**0.5, 5.0, 40**0.5])
    np.testing.assert_array_equal(found.columns["plain"], rows.columns["plain"])
    again = Rows.from_bytes(rows.to_bytes())
    np.testing.assert_allclose(settled(Spread(), again).columns["set"], found.columns["set"])


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (LinearDomain, "'set' and does not say how to settle"),
        (Careless, r"'set' has shape \(2,\) for 3 examples"),
    ],
)
def test_a_domain_that_settles_nothing_is_told(rows: Rows, domain: type[LinearDomain], message: str) -> None:
    """The error names the domain and the column."""
    with pytest.raises(PluginError, match=f"domain 'linear'.*{message}"):
        settled(domain(), rows)
