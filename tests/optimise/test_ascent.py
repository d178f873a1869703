"""Ascent on hills whose tops are known."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from robeval.optimise.ascent import ascend
from robeval.optimise.problem import Looked
from robeval.optimise.rules import Adam, Plain


@dataclass
class Hills:
    """Row i is worth minus the squared distance to its top; feasible is a coordinate of at most `limit`."""

    top: Tensor
    limit: float = 10.0
    looks: list[int] = field(default_factory=list)

    def look(self, variable: Tensor) -> Looked:
        self.looks.append(len(variable))
        point = variable.clamp(max=self.limit)
        return Looked(-((point - self.top) ** 2).sum(dim=1), point, 2 * (self.top - variable))

    def move(self, variable: Tensor, step: Tensor) -> Tensor:
        return variable + step

    def select(self, rows: Tensor) -> "Hills":
        return Hills(self.top[rows], self.limit, self.looks)


TOPS = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]]).double()


def test_every_row_reaches_its_own_top() -> None:
    """Fifty plain steps end at the tops."""
    best = ascend(Hills(TOPS), torch.zeros(3, 2).double(), Plain(0.2), 50)
    assert torch.allclose(best.point, TOPS, atol=1e-6)
    assert (best.value > -1e-9).all()
    assert not best.broken.any()


def test_the_best_point_is_kept_and_it_is_feasible() -> None:
    """Steps that overshoot for ever still return the best point seen, inside the limit."""
    best = ascend(Hills(TOPS, limit=0.75), torch.zeros(3, 2).double(), Plain(1.1), 30)
    assert (best.point <= 0.75).all()
    assert best.point[0].tolist() == [0.75, 0.75]
    assert torch.equal(best.value, -((best.point - TOPS) ** 2).sum(1))


@pytest.mark.parametrize("rule", [lambda: Plain(1.05), lambda: Adam(0.7)])
def test_more_iterations_are_never_worse(rule: type) -> None:
    """The best of a longer climb is at least the best of a shorter one."""
    values = [ascend(Hills(TOPS), torch.ones(3, 2).double(), rule(), n).value for n in (1, 2, 5, 20, 40)]
    assert all((later >= earlier).all() for earlier, later in pairwise(values))


def test_rows_stop_when_patience_or_slope_runs_out() -> None:
    """A row at its top (no slope) and rows that only get worse are not looked at again."""
    hills = Hills(TOPS)
    ascend(hills, TOPS.clone() * torch.tensor([[2.0], [2.0], [1.0]]), Plain(-0.1), 100, patience=5, flat=0.1)
    assert hills.looks[:7] == [3] * 7
    assert len(hills.looks) == 7


def test_stopped_rows_are_left_out_of_later_looks() -> None:
    """After ten looks only the rows that still climb are asked about."""
    hills = Hills(TOPS)
    ascend(hills, torch.zeros(3, 2).double(), Plain(0.01), 12, flat=1e-3)
    assert hills.looks == [3] * 10 + [2] * 2


@pytest.mark.parametrize("rule", [lambda size: Plain(size), lambda size: Adam(size)])
def test_neighbours_do_not_matter(rule: type) -> None:
    """A row climbs alone as it climbs beside rows that stop early, with a step size of its own."""
    size = torch.tensor([0.05, 0.2, 0.1]).double().view(-1, 1)
    together = ascend(Hills(TOPS), torch.zeros(3, 2).double(), rule(size), 25, patience=3, flat=1e-3)
    for row in range(3):
        part = slice(row, row + 1)
        alone = ascend(Hills(TOPS[part]), torch.zeros(1, 2).double(), rule(size[part]), 25, 3, 1e-3)
        assert torch.equal(alone.point, together.point[part])


def test_a_row_that_breaks_is_frozen_with_what_it_had() -> None:
    """NaN in one row stops that row, keeps its best so far, and leaves the others alone."""

    class Cliff(Hills):
        def look(self, variable: Tensor) -> Looked:
            looked = super().look(variable)
            over = (variable[:, 0] > 0.5).unsqueeze(1)
            return looked._replace(slope=torch.where(over, torch.nan, looked.slope))

        def select(self, rows: Tensor) -> "Cliff":
            return Cliff(self.top[rows], self.limit, self.looks)

    best = ascend(Cliff(TOPS), torch.zeros(3, 2).double(), Plain(0.2), 40)
    assert best.broken.tolist() == [True, False, False]
    assert best.point[0, 0] <= 0.5
    assert torch.allclose(best.point[1], TOPS[1], atol=1e-3)


def test_a_climb_needs_an_iteration() -> None:
    """Zero iterations would judge nothing: an error says so."""
    with pytest.raises(ValueError, match="0 iterations"):
        ascend(Hills(TOPS), torch.zeros(3, 2).double(), Plain(0.1), 0)
