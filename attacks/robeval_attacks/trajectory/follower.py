"""A vehicle that follows waypoints: pure pursuit along clothoids, for a whole batch of paths at once.

Source: "SA-Attack", arXiv:2404.12612, stage II, with the step sizes of the authors' repository.
Differs: the last path point inside the look-ahead circle is found in closed form (and then floored to the
published 51 points a segment) instead of searched in a table; finished rows leave the loop; a row that does
not arrive says so instead of driving on.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

STEP_M = 0.05
STEPS_PER_UPDATE = 12
UPDATE_M = STEP_M * STEPS_PER_UPDATE
POINTS_PER_SEGMENT = 51
GOAL_TOLERANCE_M = 0.5
SPARE_LENGTH, SPARE_UPDATES = 1.3, 6
UPDATES_PER_LOOK = 4
"""After so many updates it is looked who has arrived; what a row drove beyond its goal is forgotten."""
_X, _Y, _YAW, _CURVATURE, _RATE = range(5)


class Waypoints(NamedTuple):
    """What the vehicle is asked to follow; the first waypoint is not a target, the last one is the goal.

    `lookahead_m` is how far ahead it aims. It sets out from `start` along `yaw` (radians), wheels straight.
    """

    points: Float64[Tensor, "rows points 2"]
    start: Float64[Tensor, "rows 2"]
    yaw: Float64[Tensor, " rows"]
    lookahead_m: Float64[Tensor, " rows"]

    @property
    def length_m(self) -> Float64[Tensor, " rows"]:
        """Length of the polyline."""
        return self.points.diff(dim=1).square().sum(dim=-1).clamp_min(1e-24).sqrt().sum(dim=1)


class Driven(NamedTuple):
    """Where the vehicle went: its state before each control update, piecewise clothoids in between.

    `states` holds x, y (metres, from the start), yaw, curvature (1/m) and its rate (1/m²). A row makes
    `updates` of `UPDATE_M` metres each; later entries of `states` mean nothing. `arrived`: it came within
    0.5 m of the goal.
    """

    start: Float64[Tensor, "rows 2"]
    states: Float64[Tensor, "updates 5 rows"]
    updates: Int64[Tensor, " rows"]
    end: Float64[Tensor, "rows 2"]
    arrived: Bool[Tensor, " rows"]

    @property
    def length_m(self) -> Float64[Tensor, " rows"]:
        """How far each row drove."""
        return self.updates.to(self.start.dtype) * UPDATE_M

    def at(self, arc_m: Float64[Tensor, "rows places"]) -> Float64[Tensor, "rows places 2"]:
        """Positions after `arc_m` metres; before the start and past the end they stay there."""
        if len(self.states) == 0:
            return self.start.unsqueeze(1).expand(-1, arc_m.shape[1], -1)
        arc_m = torch.minimum(arc_m, self.length_m.unsqueeze(1)).clamp_min(0)
        number = torch.floor(arc_m.detach() / UPDATE_M + 1e-9).long()
        number = torch.minimum(number, (self.updates - 1).clamp_min(0).unsqueeze(1))
        steps = (arc_m - number.to(arc_m.dtype) * UPDATE_M) / STEP_M
        index = number.t().unsqueeze(1).expand(-1, 5, -1)
        state = self.states.gather(0, index).movedim(1, 0)
        by_curvature, by_rate = (turn[:-1].unsqueeze(1) for turn in _turns(steps.device))
        angle = state[_YAW] + by_curvature * state[_CURVATURE] + by_rate * state[_RATE]
        share = (steps.t() - torch.arange(STEPS_PER_UPDATE, device=steps.device).view(-1, 1, 1)).clamp(0, 1)
        x = state[_X] + STEP_M * (share * angle.cos()).sum(dim=0)
        y = state[_Y] + STEP_M * (share * angle.sin()).sum(dim=0)
        return self.start.unsqueeze(1) + torch.stack([x, y], dim=-1).transpose(0, 1)

    def dense(self) -> Float64[Tensor, "rows places 2"]:
        """Every 5 cm of every row, the start included, NaN behind a row's end."""
        places = torch.arange(len(self.states) * STEPS_PER_UPDATE + 1, device=self.start.device)
        path = self.at((places.to(self.start) * STEP_M).expand(len(self.start), -1))
        beyond = places > (self.updates * STEPS_PER_UPDATE).unsqueeze(1)
        return path.masked_fill(beyond.unsqueeze(-1), float("nan"))


def follow(
    way: Waypoints,
    *,
    monotone: bool = False,
    max_curvature: float = math.inf,
    max_curvature_rate: float = math.inf,
) -> Driven:
    """Drive every row to within 0.5 m of its goal, or until 1.3 times its path and 6 updates are spent.

    Every 0.6 m the vehicle aims at the last path point nearer than the look-ahead distance (never back from
    what it aimed at before, if `monotone`; the next point if none is near) and turns its curvature linearly
    to that of the circle through it: at most `max_curvature` (1/m), at most `max_curvature_rate` (1/m²).
    Differentiable in the waypoints; which point is aimed at is taken as a constant.
    """
    rows, track, vehicle = len(way.points), _Track.of(way), _Vehicle.at_rest(way.yaw)
    turns = _turns(way.yaw.device)
    here = torch.arange(rows, device=way.yaw.device)
    updates, arrived = torch.zeros_like(here), torch.zeros_like(here, dtype=torch.bool)
    progress = way.yaw.new_full((rows,), -1.0)
    most = torch.ceil(SPARE_LENGTH * way.length_m.detach() / UPDATE_M).long() + SPARE_UPDATES
    blocks: list[Tensor] = []
    while len(here):
        passed: list[Tensor] = []
        for _ in range(UPDATES_PER_LOOK):
            progress = track.aim(vehicle, progress, monotone)
            rate = vehicle.rate_towards(*track.point(progress), max_curvature, max_curvature_rate)
            passed += [vehicle.x, vehicle.y, vehicle.yaw, vehicle.curvature, rate]
            vehicle = vehicle.advanced(rate, *turns)
        states = torch.stack(passed).view(UPDATES_PER_LOOK, 5, -1)
        made = len(blocks) * UPDATES_PER_LOOK + torch.arange(len(states), device=here.device).unsqueeze(1)
        near = track.is_near_goal(states[:, :_YAW])
        before = (~near & (made < most)).cumprod(dim=0).sum(dim=0)
        updates[here] = made[0] + before
        stops = before < len(states)
        arrived[here] = stops & near.gather(0, before.clamp_max(len(states) - 1).unsqueeze(0)).squeeze(0)
        whole = len(here) == rows
        blocks.append(states if whole else states.new_zeros(len(states), 5, rows).index_copy(2, here, states))
        if bool(stops.any()):
            keep = (~stops).nonzero().squeeze(1)
            here, track, vehicle = here[keep], track.select(keep), vehicle.select(keep)
            progress, most = progress[keep], most[keep]
    if not blocks:
        return Driven(way.start, way.points.new_zeros(0, 5, 0), updates, way.start, arrived)
    states = torch.cat(blocks)
    last = states[:, :_YAW].gather(0, updates.expand(1, 2, -1)).squeeze(0)
    return Driven(way.start, states[: int(updates.max())], updates, way.start + last.t(), arrived)


class _Vehicle(NamedTuple):
    """Where each row is from its start, where it looks and how its wheels are turned."""

    x: Float64[Tensor, " rows"]
    y: Float64[Tensor, " rows"]
    yaw: Float64[Tensor, " rows"]
    cosine: Float64[Tensor, " rows"]
    """Of the yaw, as the sine."""
    sine: Float64[Tensor, " rows"]
    curvature: Float64[Tensor, " rows"]

    @classmethod
    def at_rest(cls, yaw: Float64[Tensor, " rows"]) -> "_Vehicle":
        still = torch.zeros_like(yaw)
        return cls(still, still, yaw, yaw.cos(), yaw.sin(), still)

    def select(self, rows: Int64[Tensor, " kept"]) -> "_Vehicle":
        return _Vehicle(*(value[rows] for value in self))

    def rate_towards(
        self, x: Float64[Tensor, " rows"], y: Float64[Tensor, " rows"], most: float, most_rate: float
    ) -> Float64[Tensor, " rows"]:
        """The rate of curvature that reaches the circle through (x, y) at the end of the update."""
        x, y = x - self.x, y - self.y
        sideways = torch.addcmul(y * self.cosine, x, self.sine, value=-1)
        wanted = 2 * sideways / torch.addcmul(x * x, y, y).clamp_min(1e-12)
        if most < math.inf:
            wanted = wanted.clamp(-most, most)
        rate = (wanted - self.curvature) / UPDATE_M
        return rate if most_rate == math.inf else rate.clamp(-most_rate, most_rate)

    def advanced(
        self,
        rate: Float64[Tensor, " rows"],
        by_curvature: Float64[Tensor, "13 1"],
        by_rate: Float64[Tensor, "13 1"],
    ) -> "_Vehicle":
        """After one update of 12 small steps."""
        angle = torch.addcmul(torch.addcmul(self.yaw, by_curvature, self.curvature), by_rate, rate)
        cosine, sine = angle.cos(), angle.sin()
        return _Vehicle(
            torch.add(self.x, cosine[:STEPS_PER_UPDATE].sum(dim=0), alpha=STEP_M),
            torch.add(self.y, sine[:STEPS_PER_UPDATE].sum(dim=0), alpha=STEP_M),
            angle[STEPS_PER_UPDATE],
            cosine[STEPS_PER_UPDATE],
            sine[STEPS_PER_UPDATE],
            torch.add(self.curvature, rate, alpha=UPDATE_M),
        )


class _Track(NamedTuple):
    """The waypoints as the loop wants them: rows last, from the start, constants worked out once.

    Path points are numbered from 0, 51 to a segment. Out of a segment's line the circle of the look-ahead distance
    cuts the numbers that are nearer to the foot of the perpendicular than the root of `reach` less the perpendicular
    squared, in units of the points' distance. Foot and perpendicular are `constant` + x `by_x` + y `by_y`; points of
    the segment itself lie above `below` and up to `top`.
    """

    pieces: Float64[Tensor, "4 segments rows"]
    goal: Float64[Tensor, "2 rows"]
    constant: Float64[Tensor, "2 segments rows"]
    by_x: Float64[Tensor, "2 segments rows"]
    by_y: Float64[Tensor, "2 segments rows"]
    reach: Float64[Tensor, "segments rows"]
    below: Float64[Tensor, "segments 1"]
    top: Float64[Tensor, "segments 1"]

    @classmethod
    def of(cls, way: Waypoints) -> "_Track":
        corners = (way.points - way.start.unsqueeze(1)).permute(2, 1, 0)
        pieces = torch.cat([corners[:, :-1], corners.diff(dim=1)])
        with torch.no_grad():
            x, y, along, across = pieces
            share = POINTS_PER_SEGMENT / (along.square() + across.square()).clamp_min(1e-18)
            number = POINTS_PER_SEGMENT * torch.arange(len(x), device=x.device, dtype=x.dtype).unsqueeze(1)
            foot = number - 1 - share * (x * along + y * across)
            constant = torch.stack([foot, share * (x * across - y * along)])
            by_x = torch.stack([share * along, -share * across])
            by_y = torch.stack([share * across, share * along])
            reach = way.lookahead_m.square() * (POINTS_PER_SEGMENT * share)
        below, top = number - 1, number + POINTS_PER_SEGMENT - 1
        return cls(pieces, corners[:, -1], constant, by_x, by_y, reach, below, top)

    def select(self, rows: Int64[Tensor, " kept"]) -> "_Track":
        several = (value.index_select(-1, rows) for value in self[:-2])
        return _Track._make([*several, self.below, self.top])

    def is_near_goal(self, place: Float64[Tensor, "places 2 rows"]) -> Bool[Tensor, "places rows"]:
        return (self.goal - place).detach().square_().sum(dim=1) <= GOAL_TOLERANCE_M**2

    @torch.no_grad()
    def aim(
        self, vehicle: _Vehicle, progress: Float64[Tensor, " rows"], monotone: bool
    ) -> Float64[Tensor, " rows"]:
        """Number of the path point to aim at: the last one strictly inside the look-ahead circle."""
        foot, gap = torch.addcmul(torch.addcmul(self.constant, self.by_x, vehicle.x), self.by_y, vehicle.y)
        # NaN where the circle misses the line: no comparison with it holds.
        root = torch.addcmul(self.reach, gap, gap, value=-1).sqrt_()
        first = torch.maximum(foot - root, self.below)
        last = torch.minimum(root.add_(foot).ceil_().sub_(1), self.top)
        number = torch.where(last > first, last, -1.0).amax(dim=0)
        usable = number >= (progress.clamp_min(0) if monotone else 0)
        return torch.where(usable, number, (progress + 1).clamp_(max=POINTS_PER_SEGMENT * len(foot) - 1))

    def point(
        self, number: Float64[Tensor, " rows"]
    ) -> tuple[Float64[Tensor, " rows"], Float64[Tensor, " rows"]]:
        """x and y of the path point of that number, differentiable in the waypoints."""
        segment = number.div(POINTS_PER_SEGMENT, rounding_mode="floor")
        share = (number + 1).div_(POINTS_PER_SEGMENT).sub_(segment)
        x, y, along, across = self.pieces.gather(1, segment.long().expand(4, 1, -1)).unbind(0)
        return torch.addcmul(x, share, along).squeeze(0), torch.addcmul(y, share, across).squeeze(0)


def _turns(device: torch.device) -> tuple[Float64[Tensor, "13 1"], Float64[Tensor, "13 1"]]:
    """What curvature and its rate add to the yaw before each small step of an update and behind the last.

    Curvature is linear in the step, so yaw is quadratic.
    """
    step = torch.arange(STEPS_PER_UPDATE + 1, device=device, dtype=torch.float64).unsqueeze(1)
    return STEP_M * step, STEP_M**2 / 2 * step * (step - 1)
