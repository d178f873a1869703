"""What predictors compute from positions: steps, where the target is now, the frame that moves with it.

Everything is differentiable in the positions, also where a target stands still, and knows absence only from masks.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from robeval.domains.trajectory.batch import CYCLE, PEDESTRIAN, Observation

STANDING_M = 0.1
"""Travel below which a direction fades out instead of being followed."""
SPEED_M_S, CHANGE_M_S, PLACE_M = 10.0, 1.0, 20.0
"""What counts as 1 in the inputs of a network."""


class Steps(NamedTuple):
    """Displacements between consecutive frames, metres, and where both ends were seen (0 elsewhere)."""

    moved: Float[Tensor, "*rows steps 2"]
    known: Bool[Tensor, "*rows steps"]

    @property
    def last(self) -> Float[Tensor, "*rows 2"]:
        """The latest known step; 0 where there is none."""
        return latest(self.moved, self.known)


def steps_of(past: Float[Tensor, "*rows frames 2"], present: Bool[Tensor, "*rows frames"]) -> Steps:
    """The steps of a history; a single frame gives one unknown step, so that there is always something to encode."""
    if past.shape[-2] == 1:
        return Steps(torch.zeros_like(past), torch.zeros_like(present))
    known = present[..., 1:] & present[..., :-1]
    return Steps(torch.where(known.unsqueeze(-1), past.diff(dim=-2), 0.0), known)


def latest(
    values: Float[Tensor, "*rows frames 2"], known: Bool[Tensor, "*rows frames"]
) -> Float[Tensor, "*rows 2"]:
    """The value at the last known frame; 0 where no frame is known."""
    index = latest_index(known)
    value = values.gather(-2, index[..., None, None].expand(*index.shape, 1, 2)).squeeze(-2)
    return torch.where(known.any(dim=-1, keepdim=True), value, 0.0)


def latest_index(known: Bool[Tensor, "*rows frames"]) -> Tensor:
    """The number of the last known frame; 0 where no frame is known."""
    number = torch.arange(known.shape[-1], device=known.device)
    return torch.where(known, number, 0).amax(dim=-1)


def directions(vectors: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 2"]:
    """Unit vectors, shorter than 1 for vectors of little more than `STANDING_M` and 0 for none: finite slopes."""
    return vectors / (vectors.square().sum(-1, keepdim=True) + STANDING_M**2).sqrt()


class TargetFrame(NamedTuple):
    """A frame that sits on the target and looks along its travel.

    `along` is the direction of travel, shorter than 1 for a target that hardly moved and 0 for one that stands:
    a rotation by it shrinks what it turns, so its slope stays finite where a unit vector's would not, and a
    standing target's answer fades into constant velocity instead of pointing along its sensor noise.
    """

    now: Float[Tensor, "rows 2"]
    """Where the target is, metres; carried on by its last step if it was not seen in the last frame."""
    step: Float[Tensor, "rows 2"]
    """Its last known displacement in one frame, metres."""
    along: Float[Tensor, "rows 2"]

    def turned(self, vectors: Float[Tensor, "rows *more 2"]) -> Float[Tensor, "rows *more 2"]:
        """Vectors of the scene as the target sees them: first axis ahead, second to its left."""
        cos, sin = self._direction(vectors)
        x, y = vectors.unbind(-1)
        return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)

    def turned_back(self, vectors: Float[Tensor, "rows *more 2"]) -> Float[Tensor, "rows *more 2"]:
        """Vectors of the target's view in the scene's frame."""
        cos, sin = self._direction(vectors)
        x, y = vectors.unbind(-1)
        return torch.stack([cos * x - sin * y, cos * y + sin * x], dim=-1)

    def straight(self, horizon: int) -> Float[Tensor, "rows horizon 2"]:
        """The path at constant velocity."""
        number = torch.arange(1, horizon + 1, device=self.now.device, dtype=self.now.dtype)
        return self.now.unsqueeze(1) + number.view(1, -1, 1) * self.step.unsqueeze(1)

    def _direction(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self.along.view(-1, *(1,) * (vectors.dim() - 2), 2).unbind(-1)
        return cos, sin


def target_frame(seen: Observation, steps: Steps, follow_last_step: bool = False) -> TargetFrame:
    """The frame of the target whose (or whose scene's) `steps` are given.

    Its direction is that of the whole observed travel, which noise turns less, or that of the last step.
    """
    if steps.moved.dim() == 4:
        steps = Steps(steps.moved[:, 0], steps.known[:, 0])
    present = seen.present[:, 0]
    step = steps.last
    unseen = present.shape[1] - 1 - latest_index(present)
    now = latest(seen.past[:, 0], present) + unseen.to(step.dtype).unsqueeze(-1) * step
    travel = step if follow_last_step else steps.moved.sum(dim=1)
    return TargetFrame(now, step, directions(travel))


def motion_of(seen: Observation, steps: Steps, frame: TargetFrame) -> Float[Tensor, "rows agents steps 5"]:
    """How every agent moved, as the target sees it and scaled for a network: velocity, velocity before the last one
    minus the last one (changes drown in speeds otherwise), and whether the step was seen.
    """
    pace = seen.dt.to(steps.moved.dtype).view(-1, 1, 1, 1)
    velocity = frame.turned(steps.moved) / pace
    last = frame.turned(steps.last).unsqueeze(2) / pace
    known = steps.known.unsqueeze(-1)
    change = torch.where(known, velocity - last, 0.0)
    return torch.cat([velocity / SPEED_M_S, change / CHANGE_M_S, known.to(velocity.dtype)], dim=-1)


def place_of(seen: Observation, frame: TargetFrame) -> Float[Tensor, "rows agents 4"]:
    """Where every agent is in the last frame, as the target sees it: scaled place and direction; 0 if not seen."""
    place = frame.turned(seen.past[:, :, -1] - frame.now.unsqueeze(1))
    place = torch.where(seen.present[:, :, -1:], place, 0.0)
    return torch.cat([place / PLACE_M, directions(place)], dim=-1)


def strongest(
    values: Float[Tensor, "rows others features"], heard: Bool[Tensor, "rows others"]
) -> Float[Tensor, "rows features"]:
    """The largest value of each feature over the agents that are heard; at least 0, and 0 where nobody is."""
    if values.shape[1] == 0:
        return values.new_zeros(len(values), values.shape[2])
    return (values.relu() * heard.unsqueeze(-1)).amax(dim=1)


def is_person(kind: Int8[Tensor, "rows agents"]) -> Bool[Tensor, "rows agents"]:
    """Pedestrians and cyclists."""
    return (kind == PEDESTRIAN) | (kind == CYCLE)


def nearest(seen: Observation, most: int, radius_m: float) -> Observation:
    """The same scenes with the target and at most `most` others: the nearest, seen in the last frame, in reach.

    Others are absent in every frame. Which agents a row keeps does not depend on the rows beside it.
    """
    here = seen.past[:, :, -1].detach()
    target = latest(seen.past[:, 0], seen.present[:, 0]).detach()
    distance = (here - target.unsqueeze(1)).norm(dim=-1)
    distance = distance.masked_fill(~seen.present[:, :, -1] | (distance > radius_m), float("inf"))
    distance[:, 0] = 0.0
    if distance.shape[1] <= most + 1:
        return seen.replace(present=seen.present & distance.isfinite().unsqueeze(-1))
    distance[:, 0] = -1.0
    near, chosen = distance.topk(most + 1, largest=False)
    index = chosen.unsqueeze(-1).expand(-1, -1, seen.past.shape[2])
    return seen.replace(
        past=seen.past.gather(1, index.unsqueeze(-1).expand(-1, -1, -1, 2)),
        present=seen.present.gather(1, index) & near.isfinite().unsqueeze(-1),
        kind=seen.kind.gather(1, chosen),
    )


def seconds_ahead(seen: Observation) -> Float[Tensor, "rows horizon 1"]:
    """The time of every future frame, seconds from now."""
    number = torch.arange(1, seen.horizon + 1, device=seen.past.device, dtype=seen.past.dtype)
    return (seen.dt.to(number.dtype).unsqueeze(1) * number).unsqueeze(-1)
