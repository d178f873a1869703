"""The set of feasible displacements of a track, in a form that makes projecting onto it cheap.

Positions are linear in the scale of a displacement, so squared speed and the products of velocity with
acceleration and jerk are quadratics in it. All candidate scales are then one small matrix product and a few
passes over the result, and only steps that touch an attacked frame have to be looked at.

Source: the projection is that of Zhang et al., arXiv:2201.05057.
Differs: the largest feasible scale is found exactly on the grid (the published scan can end without one),
and zero is a candidate.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SCALES = 101
BISECTIONS = 12
TOLERANCE = 1e-4
SOFT_M = 1e-3
"""Added to the speed when a direction is made of a velocity: standing vehicles have none."""


class Projected(NamedTuple):
    """A feasible displacement, the scale that made it so, and whether a scale above zero was feasible."""

    offset: Float[Tensor, "rows attacked 2"]
    scale: Float[Tensor, " rows"]
    feasible: Bool[Tensor, " rows"]


class Corridor(NamedTuple):
    """Feasible displacements of the attacked frames of some tracks; made by `kinematics.corridor`."""

    motion: Float[Tensor, "rows 3 attacked 2"]
    """Clean velocity, acceleration and jerk forward from each attacked frame, per frame."""
    top_speed: Float[Tensor, "rows attacked"]
    """The limit of the speed, squared."""
    tightness: Float[Tensor, "rows 5 attacked"]
    """One over the limit, 0 where there is none, in the order of `_products`; 1 for the speed."""
    rest: Float[Tensor, "rows 5 attacked"]
    """The quadratics at scale zero."""
    deviation: Float[Tensor, " rows"]
    """Metres that a frame may be displaced."""

    @classmethod
    def of(
        cls,
        motion: Float[Tensor, "rows 3 attacked 2"],
        bound: Float[Tensor, "rows 5 attacked"],
        deviation: Float[Tensor, " rows"],
    ) -> "Corridor":
        """From clean motion and the limits in the order of `kinematics.MAGNITUDES` (inf: no limit)."""
        speed, along, across, along_jerk, across_jerk = bound.clamp_min(1e-9).unbind(1)
        tightness = torch.stack(
            [torch.ones_like(speed), along, along_jerk, across, across_jerk], 1
        ).reciprocal()
        return cls(motion, speed**2, tightness, _products(motion[:, :1], motion) * tightness, deviation)

    def repeat(self, times: int) -> "Corridor":
        """Each track `times` times, adjacent."""
        return Corridor(*(value.repeat_interleave(times, 0) for value in self))

    def select(self, rows: Tensor) -> "Corridor":
        """Some tracks."""
        return Corridor(*(value[rows] for value in self))

    def project(self, offset: Float[Tensor, "rows attacked 2"], bisect: bool = False) -> Projected:
        """The largest feasible scale on the grid {0, 0.01, ..., 1}, and the displacement at that scale.

        With `bisect`, some feasible scale by halving [0, 1] twelve times: cheaper for long tracks and not the
        largest, since feasible scales need not be an interval. The gradient takes the scale as a constant.
        """
        with torch.no_grad():
            quadratic = self._quadratics(offset)
            reach = offset.norm(dim=-1).amax(dim=-1)
            scale = self._bisected(quadratic, reach) if bisect else self._scanned(quadratic, reach)
        return Projected(scale.view(-1, 1, 1) * offset, scale, scale > 0)

    def shares(self, offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, "rows 5 attacked"]:
        """How much of its limit every magnitude takes after the displacement: above 1 is out of bounds.

        Differentiable. The order is speed, acceleration and jerk along, acceleration and jerk across.
        """
        motion = self.motion + _changes(offset)
        products = _products(motion[:, :1], motion) * self.tightness
        speed = products[:, :1].clamp_min(1e-12).sqrt()
        top = self.top_speed.unsqueeze(1).sqrt()
        return torch.cat([speed / top, products[:, 1:].abs() / (speed + SOFT_M)], dim=1)

    @torch.no_grad()
    def holds(self, offset: Float[Tensor, "rows attacked 2"]) -> Bool[Tensor, " rows"]:
        """Whether displacements are feasible as they are."""
        near = offset.norm(dim=-1).amax(dim=-1) <= self.deviation
        inside: Tensor = near & (self.shares(offset).flatten(1).amax(dim=1) <= 1)
        return inside

    def broken(self, offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, " rows"]:
        """By how much a displacement breaks bounds, in shares of them, summed. Differentiable; 0 inside."""
        kinematic = (self.shares(offset) - 1).clamp_min(0).flatten(1).sum(dim=1)
        cap = self.deviation.clamp_min(1e-6).unsqueeze(1)
        displaced = (offset.norm(dim=-1) / cap - 1).clamp_min(0).sum(dim=1)
        total: Tensor = kinematic + displaced
        return total

    def _quadratics(self, offset: Tensor) -> Float[Tensor, "rows 5 attacked 3"]:
        """Coefficients of 1, s and s² of every limited quantity, as shares of its limit."""
        change = _changes(offset)
        linear = _products(self.motion[:, :1], change) + _products(change[:, :1], self.motion)
        square = _products(change[:, :1], change)
        return torch.stack([self.rest, linear * self.tightness, square * self.tightness], dim=-1)

    def _scanned(self, quadratic: Tensor, reach: Tensor) -> Float[Tensor, " rows"]:
        scales, powers = _grid(quadratic.dtype, quadratic.device)
        inside = self._inside(quadratic @ powers)
        inside &= scales * reach.unsqueeze(1) <= self.deviation.unsqueeze(1)
        inside[:, -1] = True
        return scales[inside.to(torch.uint8).argmax(dim=1)]

    def _bisected(self, quadratic: Tensor, reach: Tensor) -> Float[Tensor, " rows"]:
        def inside(scale: Tensor) -> Tensor:
            powers = torch.stack([torch.ones_like(scale), scale, scale**2], dim=-1).view(-1, 1, 3, 1)
            return self._inside(quadratic @ powers).squeeze(1) & (scale * reach <= self.deviation)

        top = torch.ones_like(reach)
        low = torch.where(inside(top), top, torch.zeros_like(top))
        high = top
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            good = inside(middle)
            low, high = torch.where(good, middle, low), torch.where(good, high, middle)
        return low

    def _inside(self, values: Float[Tensor, "rows 5 attacked scales"]) -> Bool[Tensor, "rows scales"]:
        squared = values[:, 0]
        slow_enough = squared <= self.top_speed.unsqueeze(-1)
        # |velocity . acceleration| / (speed + soft) <= limit, with the limit already inside `values`.
        share = values[:, 1:].abs().amax(dim=1)
        return (slow_enough & (share <= squared.clamp_min(0).sqrt() + SOFT_M)).all(dim=1)


def _changes(offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, "rows 3 attacked 2"]:
    """What a displacement adds to velocity, acceleration and jerk forward from each attacked frame."""
    velocity = torch.nn.functional.pad(offset, (0, 0, 0, 3)).diff(dim=1)
    frames = offset.shape[1]
    return torch.stack([velocity.diff(dim=1, n=n)[:, :frames] for n in range(3)], dim=1)


def _products(
    velocity: Float[Tensor, "rows 1 attacked 2"], motion: Float[Tensor, "rows 3 attacked 2"]
) -> Float[Tensor, "rows 5 attacked"]:
    """Velocity along velocity, acceleration and jerk, then across acceleration and jerk."""
    along = (velocity * motion).sum(-1)
    across = velocity[..., 0] * motion[..., 1] - velocity[..., 1] * motion[..., 0]
    return torch.cat([along, across[:, 1:]], dim=1)


@lru_cache(maxsize=8)
def _grid(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    scales = torch.linspace(1, 0, SCALES, device=device, dtype=dtype)
    return scales, torch.stack([torch.ones_like(scales), scales, scales**2])
