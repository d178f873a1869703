"""Particle swarms on hills whose tops are known."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from robeval.optimise.problem import Best, Scored
from robeval.optimise.swarm import swarm
from robeval.seeding import Seed

PARTICLES = 8
TOPS = torch.tensor([[0.3, -0.6], [-0.9, 0.1], [0.0, 0.7]]).double()


@dataclass
class Hills:
    """Worth minus the squared distance to a row's top; points are asked for inside the box only."""

    top: Tensor
    worth: Callable[[Tensor], Tensor] = lambda distance: -distance

    def score(self, variable: Tensor) -> Scored:
        assert (variable.abs() <= 1).all()
        tops = self.top.repeat_interleave(PARTICLES, 0)
        return Scored(self.worth(((variable - tops) ** 2).sum(dim=1)), variable * 0.5)


def fly(
    tops: Tensor, names: tuple[str, ...] = ("a", "b", "c"), iterations: int = 60, **options: float
) -> Best:
    return swarm(
        Hills(tops), Seed(0).draws(names), torch.zeros_like(tops), 1.0, PARTICLES, iterations, **options
    )


def test_the_swarm_finds_the_tops() -> None:
    """With some inertia lost the best particle ends within 2 cm of a top; the scored point is returned."""
    best = fly(TOPS, inertia=0.6, own=1.2, shared=1.2)
    assert ((best.point * 2 - TOPS).abs() < 0.02).all()
    assert not best.broken.any()


def test_more_iterations_are_never_worse() -> None:
    """The same stream flown longer keeps or improves its best."""
    values = [fly(TOPS, iterations=n).value for n in (1, 2, 10, 60)]
    assert all((later >= earlier).all() for earlier, later in pairwise(values))
    assert (values[-1] > values[0]).all()


def test_neighbours_do_not_matter() -> None:
    """A row's swarm flies alone as it flies beside others."""
    together = fly(TOPS)
    alone = fly(TOPS[1:2], ("b",))
    assert torch.equal(alone.point, together.point[1:2])


def test_a_row_with_a_broken_value_is_marked_and_goes_on() -> None:
    """Particles worth NaN are not followed; their row is marked, its best is finite."""
    hills = Hills(TOPS, worth=lambda d: torch.where(d > 2.0, torch.nan, -d))
    best = swarm(hills, Seed(0).draws(("a", "b", "c")), torch.zeros(3, 2).double(), 1.0, PARTICLES, 30)
    assert best.broken.any()
    assert best.value.isfinite().all()


def test_a_box_without_width_holds_the_centre_only() -> None:
    """A budget of zero leaves every particle where it is."""
    draws = Seed(0).draws(("a", "b", "c"))
    best = swarm(Hills(TOPS), draws, torch.zeros(3, 2).double(), 0.0, PARTICLES, 5)
    assert torch.equal(best.point, torch.zeros(3, 2).double())
