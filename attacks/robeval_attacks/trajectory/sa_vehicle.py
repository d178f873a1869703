"""The vehicle of SA-Attack: from a displaced history to a driven one, in the published way and in ours.

Source: "SA-Attack", arXiv:2404.12612; `Published` is what the authors' repository computes.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval_attacks.trajectory.follower import STEP_M, STEPS_PER_UPDATE, Driven, Waypoints, follow

STATIONARY_M = 1.0
"""A target that travels less is not attacked: there is no path to rebuild."""
CLEAR_CHORD_M = 0.5
"""A shorter first step says nothing about where the vehicle looks."""
PUBLISHED_LOOKAHEAD_M = 5.0
LOOKAHEAD_S, LOOKAHEAD_FROM_M, LOOKAHEAD_TO_M = 1.0, 2.0, 5.0
TRUSTED_HEADING_RAD = math.radians(30)
MARGIN = 1e-4
"""Share of the budget left for the rounding of positions to single precision."""


class Rebuilt(NamedTuple):
    """A driven history as a displacement of the clean one; zero for rows that did not reach the goal."""

    offset: Float64[Tensor, "rows attacked 2"]
    arrived: Bool[Tensor, " rows"]


class CleanDrive(NamedTuple):
    """What the vehicle knows: the clean track up to the first frame behind the attacked ones, its goal."""

    points: Float64[Tensor, "rows points 2"]
    heading: Float64[Tensor, " rows"]
    """In the first frame, radians; NaN where the source has none."""
    seconds: Float64[Tensor, " rows"]
    """From the first frame to the goal."""

    @classmethod
    def of(cls, scenes: SceneBatch) -> "CleanDrive":
        """The targets' own tracks in double precision."""
        points = scenes.target[:, : scenes.attacked + 1].double()
        return cls(points, scenes.heading[:, 0, 0].double(), scenes.attacked * scenes.dt.double())

    def select(self, rows: Tensor) -> "CleanDrive":
        """Some rows."""
        return CleanDrive(*(value[rows] for value in self))

    def repeat(self, times: int) -> "CleanDrive":
        """Each row `times` times, adjacent."""
        return CleanDrive(*(value.repeat_interleave(times, 0) for value in self))

    @property
    def arc_m(self) -> Float64[Tensor, "rows points"]:
        """Distance travelled up to each frame."""
        return torch.nn.functional.pad(self.points.diff(dim=1).norm(dim=-1).cumsum(dim=1), (1, 0))

    def chord_yaw(self) -> Float64[Tensor, " rows"]:
        """Where the track sets out to: along its first step, its whole chord, or to its farthest point."""
        gone = self.points[:, 1:] - self.points[:, :1]
        far = gone.norm(dim=-1)
        farthest = gone.gather(1, far.argmax(dim=1).view(-1, 1, 1).expand(-1, 1, 2)).squeeze(1)
        whole = torch.where(far[:, -1:] > CLEAR_CHORD_M, gone[:, -1], farthest)
        way = torch.where(far[:, :1] > CLEAR_CHORD_M, gone[:, 0], whole)
        return torch.atan2(way[:, 1], way[:, 0])


@dataclass(frozen=True)
class Published:
    """Constant look-ahead and speed, no limit on curvature; nothing holds the result to the budget.

    Starts in the first clean position along the source's heading. Positions are equally spaced on the driven
    path, so that even an undisplaced history comes back displaced.
    Differs: an absent heading is read off the track (a default of 0 costs metres); a row that does not
    arrive is given up where the published loop crashes or never ends.
    """

    clean: CleanDrive
    budget_m: float

    def select(self, rows: Tensor) -> "Published":
        """Some rows."""
        return Published(self.clean.select(rows), self.budget_m)

    def scale(self, offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, " rows"]:
        """The largest of 1.00, 0.99, ... 0.01 that keeps every frame within the budget."""
        longest = offset.norm(dim=-1).amax(dim=-1).clamp_min(1e-12)
        return torch.floor(100 * (self.budget_m / longest).clamp(max=1) + 1e-6).clamp_min(1) / 100

    def rebuild(self, offset: Float64[Tensor, "rows attacked 2"]) -> Rebuilt:
        """Follow, then take ⌊i M / n⌋ of the M driven points for frame i of n."""
        clean, count = self.clean.points, offset.shape[1]
        heading = self.clean.heading
        yaw = torch.where(heading.isfinite(), heading, self.clean.chord_yaw())
        lookahead = torch.full_like(yaw, PUBLISHED_LOOKAHEAD_M)
        driven = follow(_waypoints(clean, offset, yaw, lookahead))
        made = (driven.updates * STEPS_PER_UPDATE).unsqueeze(1)
        number = torch.arange(count, device=made.device) * made // count + 1
        moved = driven.at(number.to(clean.dtype) * STEP_M) - clean[:, :-1]
        arrived = driven.arrived & (driven.updates > 0)
        return Rebuilt(torch.where(arrived.view(-1, 1, 1), moved, torch.zeros_like(moved)), arrived)


@dataclass(frozen=True)
class Adaptive:
    """Look-ahead and freedom grow with the speed, curvature is limited, the clean speed profile is kept.

    The reading of the paper's intent that its repository leaves out: at low speed a vehicle aims nearer and
    displaces less, its steering has a lock, and it drives as fast as the clean one did, from the same first
    position. The result is within the budget.
    """

    clean: CleanDrive
    budget_m: float
    max_curvature: float
    max_curvature_rate: float = math.inf

    def select(self, rows: Tensor) -> "Adaptive":
        """Some rows."""
        return Adaptive(self.clean.select(rows), self.budget_m, self.max_curvature, self.max_curvature_rate)

    def scale(self, offset: Float[Tensor, "rows attacked 2"]) -> Float[Tensor, " rows"]:
        """Keeps every frame within the budget and within what the tightest curve can reach on the way."""
        reach = self.max_curvature * self.clean.arc_m[:, -1].square() / 8
        longest = offset.norm(dim=-1).amax(dim=-1).clamp_min(1e-12)
        return torch.clamp(reach.clamp(max=self.budget_m).to(offset.dtype) / longest, max=1)

    def rebuild(self, offset: Float64[Tensor, "rows attacked 2"]) -> Rebuilt:
        """Follow to the goal, then read the path at the clean track's shares of its length."""
        clean, arc = self.clean.points, self.clean.arc_m
        length = arc[:, -1]
        lookahead = (LOOKAHEAD_S * length / self.clean.seconds).clamp(LOOKAHEAD_FROM_M, LOOKAHEAD_TO_M)
        driven = follow(
            _waypoints(clean, offset, self._yaw(), lookahead),
            monotone=True,
            max_curvature=self.max_curvature,
            max_curvature_rate=self.max_curvature_rate,
        )
        moved = _read(driven, clean[:, -1], arc[:, :-1] / length.unsqueeze(1).clamp_min(1e-9)) - clean[:, :-1]
        moved = torch.where(driven.arrived.view(-1, 1, 1), moved, torch.zeros_like(moved))
        longest = moved.detach().norm(dim=-1).amax(dim=-1).clamp_min(1e-12)
        blend = (self.budget_m * (1 - MARGIN) / longest).clamp(max=1)
        return Rebuilt(blend.view(-1, 1, 1) * moved, driven.arrived)

    def _yaw(self) -> Float64[Tensor, " rows"]:
        chord, heading = self.clean.chord_yaw(), self.clean.heading
        apart = torch.remainder(heading - chord + math.pi, 2 * math.pi) - math.pi
        return torch.where(apart.abs() <= TRUSTED_HEADING_RAD, heading, chord)


Vehicle = Published | Adaptive


def _waypoints(
    clean: Float64[Tensor, "rows points 2"],
    offset: Float64[Tensor, "rows attacked 2"],
    yaw: Float64[Tensor, " rows"],
    lookahead_m: Float64[Tensor, " rows"],
) -> Waypoints:
    moved = torch.cat([clean[:, :-1] + offset, clean[:, -1:]], dim=1)
    return Waypoints(moved, clean[:, 0], yaw, lookahead_m)


def _read(
    driven: Driven, goal: Float64[Tensor, "rows 2"], share: Float64[Tensor, "rows places"]
) -> Float64[Tensor, "rows places 2"]:
    """Positions at shares of the driven path with the goal appended."""
    gap = goal - driven.end
    rest = gap.square().sum(dim=1).clamp_min(1e-24).sqrt()
    arc = share * (driven.length_m + rest).unsqueeze(1)
    beyond = (arc - driven.length_m.unsqueeze(1)).clamp_min(0) / rest.unsqueeze(1)
    return driven.at(arc) + beyond.unsqueeze(-1) * gap.unsqueeze(1)
