"""The feasible set in its fast form, held against the plain definition."""

import torch
from torch import Tensor

from robeval.domains.trajectory.corridor import Corridor
from robeval.domains.trajectory.kinematics import PUBLISHED_LIMITS, allowed, corridor, magnitudes

CLEAN = torch.tensor([2.0, 0.3]).double() * torch.arange(10).double().view(-1, 1)
LIMITS = torch.tensor([PUBLISHED_LIMITS["nuscenes"]]).double()


def scenes(count: int = 16) -> tuple[Tensor, Tensor, Corridor]:
    """Noisy straight tracks, displacements of up to 1.4 m, and what is allowed of them."""
    draw = torch.Generator().manual_seed(3)
    clean = CLEAN + 0.05 * torch.randn(count, 10, 2, generator=draw).double()
    offset = 2 * torch.rand(count, 4, 2, generator=draw).double() - 1
    return clean, offset, corridor(clean, LIMITS.expand(count, 5), 1.0, 4)


def test_shares_are_magnitudes_over_limits() -> None:
    """The share of every limit is what the definition gives, up to the tolerance inside the limit."""
    clean, offset, within = scenes()
    track = clean + torch.nn.functional.pad(offset, (0, 0, 0, 6))
    plain = (magnitudes(track) / allowed(clean, LIMITS.expand(16, 5)))[..., :4]
    assert torch.allclose(within.shares(offset), plain[:, [0, 1, 3, 2, 4]], rtol=1e-4)


def test_halving_finds_a_feasible_scale_no_larger_than_the_largest() -> None:
    """Bisection ends at a feasible scale, at most a hundredth (the grid of the scan) above the largest."""
    _, offset, within = scenes()
    scan, halved = within.project(offset), within.project(offset, bisect=True)
    assert within.holds(halved.offset).all()
    assert (halved.scale <= scan.scale + 0.01).all()
    assert (halved.scale > 0).all()


def test_what_is_projected_holds_and_breaks_nothing() -> None:
    """Inside the bounds the price is zero; the free displacements break theirs."""
    _, offset, within = scenes()
    assert within.holds(within.project(offset).offset).all()
    assert not within.holds(offset).any()
    assert (within.broken(within.project(offset).offset) < 1e-9).all()
    assert (within.broken(offset) > 0).all()


def test_a_displacement_beyond_the_cap_costs_its_excess() -> None:
    """Moving one frame of an unlimited track by 1.5 m under a cap of 1 m costs 0.5."""
    within = corridor(CLEAN.unsqueeze(0), torch.full((1, 5), 1e9).double(), 1.0, 4)
    offset = torch.zeros(1, 4, 2).double()
    offset[0, 1, 1] = 1.5
    assert within.broken(offset).item() == 0.5
    assert not within.holds(offset).any()


def test_slopes_are_finite_at_rest() -> None:
    """A standing track and a zero displacement have finite slopes: zero speed has no direction."""
    within = corridor(torch.zeros(2, 10, 2).double(), LIMITS.expand(2, 5), 1.0, 4)
    offset = torch.zeros(2, 4, 2).double().requires_grad_()
    (slope,) = torch.autograd.grad(within.broken(offset).sum(), offset)
    assert slope.isfinite().all()


def test_rows_are_projected_on_their_own() -> None:
    """Repeating and selecting rows changes none of their scales."""
    _, offset, within = scenes()
    every = within.project(offset).scale
    rows = torch.tensor([7, 2, 2])
    assert torch.equal(within.select(rows).project(offset[rows]).scale, every[rows])
    twice = within.repeat(2).project(offset.repeat_interleave(2, 0)).scale
    assert torch.equal(twice, every.repeat_interleave(2))
