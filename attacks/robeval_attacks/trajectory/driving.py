"""Observed positions as acceleration and curvature of a unicycle, and back."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch

SLOW_STEP_M = 0.1
"""A shorter step of noisy positions has no direction worth following."""
SLOW_M_S = 0.01
TOP_CURVATURE_1_M = 0.2


class Drive(NamedTuple):
    """The drive through a target's attacked positions: where it starts, and what is done at every step.

    Controls are acceleration (m/s²) and curvature (1/m); step k leads from frame k to frame k + 1.
    """

    speed: Float[Tensor, " rows"]
    heading: Float[Tensor, " rows"]
    control: Float[Tensor, "rows steps 2"]
    dt: Float[Tensor, " rows"]
    cap: Float[Tensor, "rows 1 2"]
    """The largest change of a control, either way."""
    low: Float[Tensor, "rows steps 2"]
    high: Float[Tensor, "rows steps 2"]
    """What a change may be, given the cap and what a vehicle can do in total."""
    standing: Bool[Tensor, " rows"]
    """Without a direction of travel, so without a drive."""

    def offset(self, change: Float[Tensor, "rows steps 2"]) -> Float[Tensor, "rows attacked 2"]:
        """How far each attacked position moves when the controls change; the first one stays."""
        return self._path(self.control + change) - self._path(self.control)

    def repeat(self, times: int) -> "Drive":
        """Each drive `times` times, adjacent."""
        return Drive(*(value.repeat_interleave(times, 0) for value in self))

    def select(self, rows: Tensor) -> "Drive":
        """Some drives."""
        return Drive(*(value[rows] for value in self))

    def _path(self, control: Float[Tensor, "rows steps 2"]) -> Float[Tensor, "rows attacked 2"]:
        """Positions relative to the first frame."""
        dt = self.dt.unsqueeze(1)
        speed = self.speed.unsqueeze(1) + (control[..., 0] * dt).cumsum(dim=1)
        before = torch.cat([self.speed.unsqueeze(1), speed[:, :-1]], dim=1)
        heading = self.heading.unsqueeze(1) + (before * control[..., 1] * dt).cumsum(dim=1)
        step = (speed * dt).unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], dim=-1)
        return torch.nn.functional.pad(step.cumsum(dim=1), (0, 0, 1, 0))


def drive(batch: SceneBatch, acceleration_m_s2: float, curvature_1_m: float) -> Drive:
    """The drive of every target, and how much of it may be changed.

    Acceleration stays within the scene's bound and curvature within 0.2 1/m, or within the clean drive's own
    value where that is larger. Targets that never move 0.1 m between two frames and have no heading cannot
    be driven.
    """
    step = batch.target[:, : batch.attacked].diff(dim=1)
    dt = batch.dt.to(step.dtype)
    length = step.norm(dim=-1)
    heading, standing = _headings(step, length, batch.heading[:, 0, 0])
    speed = length / dt.unsqueeze(1)
    # The first step gives the speed and heading to start with, so it neither turns nor accelerates.
    before = torch.cat([speed[:, :1], speed[:, :-1]], dim=1)
    turned = torch.cat([heading[:, :1], heading], dim=1).diff(dim=1)
    turned = torch.atan2(turned.sin(), turned.cos())
    moving = before >= SLOW_M_S
    curvature = torch.where(moving, turned / (before * dt.unsqueeze(1)).clamp_min(SLOW_M_S * 0.01), 0.0)
    control = torch.stack([(speed - before) / dt.unsqueeze(1), curvature], dim=-1)
    cap = step.new_tensor([acceleration_m_s2, curvature_1_m]).expand(len(batch), 1, 2)
    cap = torch.where(standing.view(-1, 1, 1), 0.0, cap)
    bound = batch.limits[:, 1].to(step.dtype) / dt.square()
    top = torch.stack([bound, torch.full_like(bound, TOP_CURVATURE_1_M)], dim=-1).unsqueeze(1)
    top = torch.maximum(top.expand_as(control), control.abs())
    low, high = torch.maximum(-cap, -top - control), torch.minimum(cap, top - control)
    return Drive(speed[:, 0], heading[:, 0], control, dt, cap, low, high, standing)


def _headings(
    step: Float[Tensor, "rows steps 2"], length: Float[Tensor, "rows steps"], given: Float[Tensor, " rows"]
) -> tuple[Float[Tensor, "rows steps"], Bool[Tensor, " rows"]]:
    """The direction of every step; a slow one keeps the last, or takes the first, or the given heading."""
    moving = length >= SLOW_STEP_M
    number = torch.arange(step.shape[1], device=step.device).expand_as(moving)
    last = torch.where(moving, number, -1).cummax(dim=1).values
    first = moving.to(torch.uint8).argmax(dim=1, keepdim=True)
    direction = torch.atan2(step[..., 1], step[..., 0])
    chosen = direction.gather(1, torch.where(last >= 0, last, first))
    never = ~moving.any(dim=1)
    standing = never & ~given.isfinite()
    fallback = torch.where(given.isfinite(), given, torch.zeros_like(given)).to(step.dtype)
    return torch.where(never.unsqueeze(1), fallback.unsqueeze(1), chosen), standing
