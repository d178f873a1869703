"""Asking for a dear term only where it can matter."""

import pytest
import torch
from torch import Tensor

from robeval_attacks.ranking.narrowing import narrowed


class Term:
    """A table's values at places, and which places were asked for."""

    def __init__(self, values: Tensor) -> None:
        self.values = values.flatten()
        self.asked: list[int] = []

    def __call__(self, places: Tensor) -> Tensor:
        self.asked += places.tolist()
        return self.values[places]


@pytest.mark.parametrize("spread", [0.1, 2.0, 50.0])
@pytest.mark.parametrize("kept", [1, 3, 40])
def test_the_largest_sums_are_those_of_asking_everything(spread: float, kept: int) -> None:
    random = torch.Generator().manual_seed(0)
    bare = torch.randn(64, 40, generator=random)
    term = Term(-spread * torch.rand(64, 40, generator=random))
    found = narrowed(bare, term, 0.0, kept)
    whole = bare + term.values.view_as(bare)
    assert found.topk(kept).indices.equal(whole.topk(kept).indices)
    assert found[found.isfinite()].equal(whole[found.isfinite()])
    assert len(set(term.asked)) == len(term.asked), "nothing is asked twice"


def test_little_is_asked_where_the_bare_sums_decide() -> None:
    bare = torch.arange(1000.0).view(1, 1000)
    term = Term(-torch.ones(1000))
    narrowed(bare, term, 0.0, 2)
    assert sorted(term.asked) == [997, 998, 999], "997 with a term of 0 would tie with 998"


def test_slack_keeps_what_a_later_term_can_lift() -> None:
    """Two further terms of 0 to 3: the best two of the final sum are found, whatever they are."""
    random = torch.Generator().manual_seed(1)
    bare = torch.randn(64, 40, generator=random)
    first, second = (
        Term(-2 * torch.rand(64, 40, generator=random)),
        Term(3 * torch.rand(64, 40, generator=random)),
    )
    part = narrowed(bare, first, 0.0, 2, slack=3.0)
    found = narrowed(part, second, 3.0, 2)
    whole = bare + first.values.view_as(bare) + second.values.view_as(bare)
    assert found.topk(2).indices.equal(whole.topk(2).indices)
    assert len(first.asked) < bare.numel()


def test_what_is_out_stays_out() -> None:
    """Rows with fewer options than are kept, or none, and tables without any."""
    bare = torch.tensor([[1.0, -torch.inf, 0.0], [-torch.inf] * 3])
    found = narrowed(bare, Term(-torch.ones(2, 3)), 0.0, 2)
    assert found.equal(torch.tensor([[0.0, -torch.inf, -1.0], [-torch.inf] * 3]))
    assert narrowed(torch.zeros(2, 0), Term(torch.zeros(2, 0)), 0.0, 2).shape == (2, 0)
    assert narrowed(torch.zeros(0, 3), Term(torch.zeros(0, 3)), 0.0, 2).shape == (0, 3)
