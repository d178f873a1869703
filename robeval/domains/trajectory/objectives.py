"""The six goals of an adversary on the road: make the prediction wrong, or wrong towards one side.

Source: arXiv:2201.05057. Differs: the yardstick of the first step is the clean last position (with the perturbed one
the attacker turns its own yardstick), steps below 0.05 m keep the last known direction, windows are averaged.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch

OBJECTIVES = ("ade", "fde", "left", "right", "front", "rear")
STANDING_STEP_M = 0.05


class Yardstick(NamedTuple):
    """The truth behind each window and the direction of travel at each of its steps."""

    truth: Float[Tensor, "batch windows horizon 2"]
    known: Bool[Tensor, "batch windows horizon"]
    along: Float[Tensor, "batch windows horizon 2"]
    directed: Bool[Tensor, "batch windows horizon"]

    def repeat(self, times: int) -> "Yardstick":
        """Each scene `times` times, adjacent."""
        return Yardstick(*(value.repeat_interleave(times, 0) for value in self))

    def select(self, rows: Tensor) -> "Yardstick":
        """Some scenes."""
        return Yardstick(*(value[rows] for value in self))


def yardstick(clean: SceneBatch) -> Yardstick:
    """What predictions for `clean` are measured against.

    A direction comes from the backward difference of the clean track; a standing step keeps the last direction of
    its track, then the heading; without either the step has no direction and directional goals leave it out.
    """
    track, present = clean.target, clean.present[:, 0]
    step = track.diff(dim=1)
    length = step.norm(dim=-1)
    moving = (length >= STANDING_STEP_M) & present[:, 1:] & present[:, :-1]
    unit = step / length.clamp_min(1e-9).unsqueeze(-1)
    number = torch.arange(step.shape[1], device=track.device).expand_as(moving)
    last = torch.where(moving, number, torch.full_like(number, -1)).cummax(dim=1).values
    carried = unit.gather(1, last.clamp_min(0).unsqueeze(-1).expand_as(unit))
    heading = clean.heading[:, 0, 1:]
    fallback = torch.stack([heading.cos(), heading.sin()], dim=-1)
    has_past = (last >= 0).unsqueeze(-1)
    along = torch.where(has_past, carried, fallback)
    directed = along.isfinite().all(dim=-1)
    along = torch.where(directed.unsqueeze(-1), along, torch.zeros_like(along))

    def windows(value: Tensor) -> Tensor:
        cut = value[:, clean.history - 1 :].unfold(1, clean.horizon, 1)
        return cut.transpose(-1, -2) if value.dim() == 3 else cut

    return Yardstick(clean.future(), clean.future_present(), windows(along), windows(directed))


def objective_values(
    path: Float[Tensor, "rows windows horizon 2"], against: Yardstick
) -> Float[Tensor, "rows 6"]:
    """All six objectives per row, larger is worse for the victim, in the order of `OBJECTIVES`.

    ade and fde in m² (squared: smoother gradients; reports use Euclidean metres), the directional ones in metres.
    Windows and known steps are averaged; fde needs the last step, else the row's value is 0.
    """
    error = path - against.truth
    known = against.known.to(error.dtype)
    squared = (error**2).sum(dim=-1)
    ade = _mean(squared, known)
    fde = _mean(squared[..., -1], known[..., -1])
    useful = known * against.directed.to(error.dtype)
    front = _mean((error * against.along).sum(-1), useful)
    right_normal = torch.stack([against.along[..., 1], -against.along[..., 0]], dim=-1)
    right = _mean((error * right_normal).sum(-1), useful)
    return torch.stack([ade, fde, -right, right, front, -front], dim=-1)


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    return (value * weight).flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1).clamp_min(1)
