"""A vehicle that follows waypoints: pure pursuit along clothoids, for a whole batch of paths at once.

Source: "SA-Attack", arXiv:2404.12612, stage II, with the step sizes of the authors' repository.
Differs: the last path point inside the look-ahead circle is found in closed form (and then floored to the
published 51 points a segment) instead of searched in a table; finished rows leave the loop; a row that does
not arrive says so instead of driving on.
"""

import math
from functools import lru_cache
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
COMPACT_BELOW = 0.75
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
        angle = torch.einsum("sk,kpr->spr", _yaw_table(steps.device)[:-1], state[_YAW:])
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
    rows, track = len(way.points), _Track.of(way)
    here = torch.arange(rows, device=way.yaw.device)
    updates, progress = torch.zeros_like(here), torch.full_like(here, -1)
    arrived, driving = torch.zeros_like(here, dtype=torch.bool), torch.ones_like(here, dtype=torch.bool)
    most = torch.ceil(SPARE_LENGTH * way.length_m.detach() / UPDATE_M).long() + SPARE_UPDATES
    state = torch.stack([0 * way.yaw, 0 * way.yaw, way.yaw, 0 * way.yaw])
    final = torch.zeros_like(state)
    history: list[Tensor] = []
    whole = True
    while rows:
        near = track.is_near_goal(state)
        stops = driving & (near | (most <= len(history)))
        if bool(stops.any()):
            updates[here[stops]], arrived[here[stops]] = len(history), near[stops]
            final = final.index_copy(1, here[stops], state[:, stops])
            driving = driving & ~stops
            keep = driving.nonzero().squeeze(1)
            if keep.numel() == 0:
                break
            if keep.numel() < COMPACT_BELOW * here.numel():
                here, track, state, driving = here[keep], track.select(keep), state[:, keep], driving[keep]
                progress, most, whole = progress[keep], most[keep], False
        progress = track.aim(state, progress, monotone)
        rate = _steer(state, track.point(progress), max_curvature, max_curvature_rate)
        before = torch.cat([state, rate.unsqueeze(0)])
        history.append(before if whole else state.new_zeros(5, rows).index_copy(1, here, before))
        state = _advance(before)
    states = torch.stack(history) if history else state.new_zeros(0, 5, rows)
    return Driven(way.start, states, updates, way.start + final[:_YAW].t(), arrived)


class _Track(NamedTuple):
    """The waypoints as the loop wants them: rows last, from the start, constants worked out once.

    A path point is ``begin + j / 51 * segment``. Where the circle around (x, y) cuts a segment's line,
    ``j² + 2 a j + b = 0``; `linear` and `square` hold a and b as functions of x, y and x² + y².
    """

    pieces: Float64[Tensor, "4 segments rows"]
    goal: Float64[Tensor, "2 rows"]
    constant: Float64[Tensor, "2 segments rows"]
    linear: Float64[Tensor, "2 2 segments rows"]
    square: Float64[Tensor, "segments rows"]

    @classmethod
    def of(cls, way: Waypoints) -> "_Track":
        corners = (way.points - way.start.unsqueeze(1)).permute(2, 1, 0)
        pieces = torch.cat([corners[:, :-1], corners.diff(dim=1)])
        with torch.no_grad():
            begin, segment = pieces[:2], pieces[2:]
            square = POINTS_PER_SEGMENT**2 / segment.square().sum(dim=0).clamp_min(1e-18)
            share = square / POINTS_PER_SEGMENT
            along, gap = (begin * segment).sum(dim=0), begin.square().sum(dim=0) - way.lookahead_m.square()
            constant = torch.stack([along * share, gap * square])
            linear = torch.stack([-segment * share, -2 * begin * square])
        return cls(pieces, corners[:, -1], constant, linear, square)

    def select(self, rows: Int64[Tensor, " kept"]) -> "_Track":
        return _Track(*(value.index_select(-1, rows) for value in self))

    def is_near_goal(self, state: Float64[Tensor, "4 rows"]) -> Bool[Tensor, " rows"]:
        return (self.goal - state[:_YAW]).detach().square_().sum(dim=0) <= GOAL_TOLERANCE_M**2

    def aim(
        self, state: Float64[Tensor, "4 rows"], progress: Int64[Tensor, " rows"], monotone: bool
    ) -> Int64[Tensor, " rows"]:
        """Number of the path point to aim at: the last one strictly inside the look-ahead circle."""
        here = state[:_YAW].detach().unsqueeze(1)
        half, product = (self.linear * here).sum(dim=1).add_(self.constant).unbind(0)
        product = torch.addcmul(product, self.square, here.square().sum(dim=0))
        # NaN where the circle misses the line: no comparison with it holds.
        root = (half * half).sub_(product).sqrt_()
        last = (root - half).ceil_().sub_(1).clamp_(max=POINTS_PER_SEGMENT)
        first = root.add_(half).neg_().clamp_(min=0)
        before = _points_before(len(last), last.device)
        number = torch.where(last > first, last + before, -1.0).amax(dim=0).long()
        usable = number >= progress.clamp_min(0) if monotone else number >= 0
        return torch.where(usable, number, (progress + 1).clamp_(max=POINTS_PER_SEGMENT * len(last) - 1))

    def point(self, number: Int64[Tensor, " rows"]) -> Float64[Tensor, "2 rows"]:
        """The path point of that number, differentiable in the waypoints."""
        place = number.div(POINTS_PER_SEGMENT, rounding_mode="floor")
        share = (number + 1 - place * POINTS_PER_SEGMENT).to(self.goal.dtype) / POINTS_PER_SEGMENT
        piece = self.pieces.gather(1, place.expand(4, 1, -1)).squeeze(1)
        return torch.addcmul(piece[:2], share, piece[2:])


@lru_cache(maxsize=32)
def _points_before(segments: int, device: torch.device) -> Float64[Tensor, "segments 1"]:
    """Add it to a point's place in its segment (1 to 51) to get its number in the path (from 0)."""
    return torch.arange(segments, device=device, dtype=torch.float64).unsqueeze(1) * POINTS_PER_SEGMENT - 1


def _steer(
    state: Float64[Tensor, "4 rows"], target: Float64[Tensor, "2 rows"], most: float, most_rate: float
) -> Float64[Tensor, " rows"]:
    """The rate of curvature that reaches the circle through `target` at the end of the update."""
    gap = target - state[:_YAW]
    sideways = gap[1] * state[_YAW].cos() - gap[0] * state[_YAW].sin()
    wanted = 2 * sideways / gap.square().sum(dim=0).clamp_min(1e-12)
    if most < math.inf:
        wanted = wanted.clamp(-most, most)
    rate = (wanted - state[_CURVATURE]) / UPDATE_M
    return rate if most_rate == math.inf else rate.clamp(-most_rate, most_rate)


def _advance(state: Float64[Tensor, "5 rows"]) -> Float64[Tensor, "4 rows"]:
    """The state after one update of 12 small steps."""
    turned = torch.mm(_yaw_table(state.device), state[_YAW:])
    angle = turned[:STEPS_PER_UPDATE]
    moved = torch.stack([angle.cos().sum(dim=0), angle.sin().sum(dim=0)])
    curvature = state[_CURVATURE] + UPDATE_M * state[_RATE]
    return torch.cat([state[:_YAW] + STEP_M * moved, turned[-1:], curvature.unsqueeze(0)])


@lru_cache(maxsize=4)
def _yaw_table(device: torch.device) -> Float64[Tensor, "13 3"]:
    """What yaw, curvature and its rate give the yaw before each small step and behind the last.

    Curvature is linear in the step, so yaw is quadratic.
    """
    step = torch.arange(STEPS_PER_UPDATE + 1, device=device, dtype=torch.float64)
    return torch.stack([torch.ones_like(step), STEP_M * step, STEP_M**2 / 2 * step * (step - 1)], dim=1)
