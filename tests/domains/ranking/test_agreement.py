"""Agreement of rankings: the specification's check values."""

import pytest
import torch

from robeval.domains.ranking.agreement import overlap_at, rbo

A, B = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 0, 2, 3]])


@pytest.mark.parametrize(("extended", "value"), [(False, 0.4599), (True, 0.7)])
def test_rbo_of_a_swapped_head(extended: bool, value: float) -> None:
    """[a, b, c, d] against [b, a, c, d] gives .4599 without the tail and .7 with it."""
    assert rbo(A, B, 0.7, extended).item() == pytest.approx(value, abs=1e-4)


def test_rbo_of_equal_lists() -> None:
    """Two equal lists of ten have .9718 without the tail and 1 with it."""
    ten = torch.arange(10).unsqueeze(0)
    assert rbo(ten, ten, 0.7, extended=False).item() == pytest.approx(0.9718, abs=1e-4)
    assert rbo(ten, ten).item() == pytest.approx(1.0)


def test_rbo_ends_at_padding() -> None:
    """Padding is no passage: a short list agrees with itself completely, and disjoint lists not at all."""
    short = torch.tensor([[4, 5, -1, -1]])
    assert rbo(short, short).item() == pytest.approx(1.0)
    assert rbo(torch.tensor([[1, 2]]), torch.tensor([[3, 4]])).item() == 0.0


def test_overlap_counts_shared_passages() -> None:
    """Two of the top three are shared here, whatever their order; padding matches nothing."""
    assert overlap_at(torch.tensor([[1, 2, 3]]), torch.tensor([[3, 9, 1]]), 3).item() == pytest.approx(2 / 3)
    assert overlap_at(torch.tensor([[1, -1]]), torch.tensor([[1, -1]]), 2).item() == 0.5
