"""The six goals of an adversary on the road: make the prediction wrong, or wrong towards one side.

Source: arXiv:2201.05057. Differs: the yardstick of the first step is the clean last position (with the
perturbed one the attacker turns its own yardstick), steps below 0.05 m keep the last known direction,
windows are averaged.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch

OBJECTIVES = ("ade", "fde", "left", "right", "front", "rear")
Objective = Literal["ade", "fde", "left", "right", "front", "rear", "all"]
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

    A direction comes from the backward difference of the clean track; a standing step keeps the last
    direction of its track, then the heading; without either the step has no direction and directional goals
    leave it out.
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

    known = clean.future_present()
    truth = torch.where(known.unsqueeze(-1), clean.future(), torch.zeros_like(clean.future()))
    return Yardstick(truth, known, windows(along), windows(directed))


class Goal(NamedTuple):
    """One objective per row: the mean of a quadratic in the prediction's error, with the row's weights."""

    truth: Float[Tensor, "rows windows horizon 2"]
    square: Float[Tensor, "rows windows horizon 1"]
    linear: Float[Tensor, "rows windows horizon 2"]

    def value(self, path: Float[Tensor, "rows windows horizon 2"]) -> Float[Tensor, " rows"]:
        """What the adversary wants to raise: m² for ade and fde, metres for the directions."""
        error = path - self.truth
        return ((self.square * error + self.linear) * error).flatten(1).sum(dim=1)

    def select(self, rows: Tensor) -> "Goal":
        """Some rows."""
        return Goal(*(value[rows] for value in self))

    def repeat(self, times: int) -> "Goal":
        """Each row `times` times, adjacent."""
        return Goal(*(value.repeat_interleave(times, 0) for value in self))


def goals(against: Yardstick, wanted: tuple[str, ...]) -> Goal:
    """The objectives in `wanted` for every scene, a scene's objectives adjacent, their weights made once."""
    every = against.known.to(against.truth.dtype)
    last = torch.zeros_like(every)
    last[..., -1] = every[..., -1]
    useful = every * against.directed.to(every.dtype)
    right = torch.stack([against.along[..., 1], -against.along[..., 0]], dim=-1)
    none, flat = torch.zeros_like(every), torch.zeros_like(against.along)
    table = {
        "ade": (every, every, flat),
        "fde": (last, last, flat),
        "left": (useful, none, -right),
        "right": (useful, none, right),
        "front": (useful, none, against.along),
        "rear": (useful, none, -against.along),
    }
    square, linear = [], []
    for name in wanted:
        weight, quadratic, direction = table[name]
        count = weight.flatten(1).sum(dim=1).clamp_min(1).view(-1, 1, 1, 1)
        square.append(quadratic.unsqueeze(-1) / count)
        linear.append(weight.unsqueeze(-1) * direction / count)
    truth = against.truth.repeat_interleave(len(wanted), 0)
    return Goal(truth, torch.stack(square, dim=1).flatten(0, 1), torch.stack(linear, dim=1).flatten(0, 1))


def pursuable(against: Yardstick) -> Bool[Tensor, "rows 6"]:
    """Whether each of `OBJECTIVES` means anything for a scene.

    ade wants a known step, fde a known last step, the directions a known step with a direction.
    """
    some = against.known.flatten(1).any(dim=1)
    ends = against.known[..., -1].any(dim=1)
    directed = (against.known & against.directed).flatten(1).any(dim=1)
    return torch.stack([some, ends, *[directed] * 4], dim=1)


def objective_values(
    path: Float[Tensor, "rows windows horizon 2"], against: Yardstick
) -> Float[Tensor, "rows 6"]:
    """All six objectives per row, larger is worse for the victim, in the order of `OBJECTIVES`.

    ade and fde in m² (squared: smoother gradients; reports use Euclidean metres), the directional ones in
    metres. Windows and known steps are averaged; fde needs the last step, else the row's value is 0.
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
