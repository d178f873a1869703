"""The lanes of simulated scenes: straight roads, bends with clothoid run-ins, signalised intersections.

A lane is a reference line with trapezoidal curvature over arc length (so the curvature rate is bounded) and a
lateral offset from it. Right-hand traffic; lane 0 is the rightmost one of a road. In an intersection lanes 0
and 1 are the two of the approach that has green, lanes 2 to 4 wait at red on the other arms (split phasing,
so that no path crosses a moving vehicle's).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray as Array

from robeval.seeding import Draws

LANES = 5
LANE_WIDTH_M = 3.7
STRAIGHT, BEND, CROSSING = range(3)
_LAYOUT_SHARE = (0.35, 0.3, 0.35)
COMFORT_LATERAL_M_S2 = 2.5
_BOX_M = 16.0  # half the side of an intersection's inner square
_BEND_RUN_M, _TURN_RUN_M = 20.0, 6.0
_POINT_M = 2.0
_EXIT_M = 0.5 * LANE_WIDTH_M


@dataclass
class Roads:
    """Lane parameters, all [scenes, lanes] unless said otherwise; metres, radians, seconds."""

    layout: Int[Array, " scenes"]
    count: Int[Array, " scenes"]
    """Lanes with traffic."""
    same_way: Int[Array, " scenes"]
    """Lanes 0 to same_way - 1 run side by side: a vehicle may change between them."""
    offset: Float[Array, "scenes lanes"]
    curvature: Float[Array, "scenes lanes"]
    radius: Float[Array, "scenes lanes"]
    """Of the curve, at the reference line; infinite without one."""
    run: Float[Array, "scenes lanes"]
    enter: Float[Array, "scenes lanes"]
    """Arc length where the run-in begins."""
    leave: Float[Array, "scenes lanes"]
    """Arc length where the run-out begins."""
    start: Float[Array, "scenes lanes 3"]
    """x, y, heading at arc length 0."""
    stop: Float[Array, "scenes lanes"]
    """Stop line; infinite without one."""
    red_at: Float[Array, "scenes lanes"]
    """When its light turns red; infinite if never."""

    def lane(self, which: Int[Array, "scenes agents"]) -> "Roads":
        """The parameters of each agent's lane, [scenes, agents]."""
        pick = {name: np.take_along_axis(getattr(self, name), which, axis=1) for name in _PER_LANE}
        start = np.take_along_axis(self.start, which[:, :, None], axis=1)
        return Roads(self.layout, self.count, self.same_way, start=start, **pick)

    def bend(self, s: Array) -> Array:
        """Curvature of the reference line at arc length `s` [scenes, lanes, ...], 1/m."""
        extra = (...,) + (None,) * (s.ndim - 2)
        run = self.run[extra]
        rise = np.clip((s - self.enter[extra]) / run, 0, 1) - np.clip((s - self.leave[extra]) / run, 0, 1)
        return np.asarray(self.curvature[extra] * rise)

    def turned(self, s: Array) -> Array:
        """Heading of the reference line relative to its start, at `s` [scenes, lanes, ...]."""
        extra = (...,) + (None,) * (s.ndim - 2)
        run = self.run[extra]
        rise = _ramp(s - self.enter[extra], run) - _ramp(s - self.leave[extra], run)
        return np.asarray(self.curvature[extra] * rise)


_PER_LANE = ("offset", "curvature", "radius", "run", "enter", "leave", "stop", "red_at")


def _ramp(u: Array, run: Array) -> Array:
    """Integral from minus infinity to `u` of a unit step that takes `run` to rise."""
    inside = np.clip(u, 0, run)
    return np.asarray(inside * inside / (2 * run) + np.maximum(u - run, 0))


def lay(draw: Draws, speed_m_s: Float[Array, " scenes"]) -> Roads:
    """Roads for scenes whose traffic wants to drive at `speed_m_s`; where curves begin is set by `place`."""
    scenes = len(speed_m_s)
    layout = np.searchsorted(np.cumsum(_LAYOUT_SHARE)[:-1], draw.uniform().numpy(), side="right")
    crossing = layout == CROSSING
    lanes = 2 + draw.integers(3).numpy()
    count = np.where(crossing, LANES, lanes)
    oncoming = (layout == STRAIGHT) & (lanes >= 3) & (draw.uniform().numpy() < 0.5)
    number = np.arange(LANES)
    offset = (number - (lanes[:, None] - 1) / 2) * LANE_WIDTH_M
    offset = np.where(crossing[:, None], 0.0, offset)
    offset = np.where(oncoming[:, None] & (number == lanes[:, None] - 1), -offset, offset)
    curvature, radius, angle = _curves(draw, layout, speed_m_s)
    run = np.where(crossing[:, None], _TURN_RUN_M, _BEND_RUN_M) * np.ones(LANES)
    infinite = np.full((scenes, LANES), np.inf)
    length = np.where(np.isfinite(radius), np.abs(angle) * np.where(np.isfinite(radius), radius, 0.0), run)
    return Roads(
        layout=layout,
        count=count,
        same_way=np.where(crossing, 1, lanes - oncoming),
        offset=offset,
        curvature=curvature,
        radius=radius,
        run=run,
        enter=np.zeros((scenes, LANES)),
        leave=length,  # relative to `enter` until `place`
        start=_poses(draw, oncoming, lanes),
        stop=infinite,
        red_at=infinite.copy(),
    )


def _curves(draw: Draws, layout: Array, speed: Array) -> tuple[Array, Array, Array]:
    """Signed curvature, radius and turning angle of every lane."""
    unit = draw.uniform(4).double().numpy()
    left = np.where(unit[:, 0] < 0.5, 1.0, -1.0)
    smallest = np.maximum(40.0, 1.1 * speed**2 / COMFORT_LATERAL_M_S2)
    bend_radius = smallest + unit[:, 1] * (300 - smallest)
    shape = (len(layout), LANES)
    radius, angle, side = np.full(shape, np.inf), np.zeros(shape), np.ones(shape)
    bend = layout == BEND
    radius[bend] = bend_radius[bend, None]
    angle[bend] = (np.deg2rad(30) + unit[bend, 2] * np.deg2rad(60))[:, None]
    side[bend] = left[bend, None]
    turns = (layout == CROSSING) & (speed < 9)  # who drives faster goes straight on
    for lane, low, high, way in ((0, 8.0, 10.5, -1.0), (1, 8.0, 15.0, 1.0)):
        chosen = turns & (draw.uniform().numpy() < 0.6)
        share = draw.uniform().double().numpy()
        radius[chosen, lane] = (low + (high - low) * share)[chosen]
        angle[chosen, lane] = np.pi / 2
        side[chosen, lane] = way
    with np.errstate(divide="ignore"):
        return side / radius, radius, angle * side


def _poses(draw: Draws, oncoming: Array, lanes: Array) -> Array:
    """Start of every lane of a road; intersections are moved into place later."""
    unit = draw.uniform(3).double().numpy()
    heading = (unit[:, 0] * 2 * np.pi)[:, None] * np.ones(LANES)
    start: Array = np.stack([unit[:, 1:2] * np.ones(LANES), unit[:, 2:3] * np.ones(LANES), heading], axis=-1)
    start[..., :2] = (start[..., :2] - 0.5) * 4000
    facing = oncoming[:, None] & (np.arange(LANES) == lanes[:, None] - 1)
    far = 180.0 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    start[..., :2] += np.where(facing[..., None], far, 0.0)
    start[..., 2] += np.where(facing, np.pi, 0.0)
    return start


def place(draw: Draws, roads: Roads, lead_m: Float[Array, "scenes lanes"], speed_m_s: Array) -> None:
    """Put curves, stop lines and red lights ahead of each lane's first vehicle at `lead_m` (in place)."""
    unit = draw.uniform(LANES, 3).double().numpy()
    crossing = (roads.layout == CROSSING)[:, None]
    reach = 6.0 * speed_m_s[:, None]
    brake = speed_m_s[:, None] ** 2 / 6 + 12
    number = np.arange(LANES)
    shared = unit[:, :1, 0] * np.ones(LANES)
    turn = lead_m - 30 + unit[..., 0] * (30 + 0.7 * reach)
    begin = np.where(crossing, turn, lead_m[:, :1] - 60 + shared * (reach + 60))
    waiting = crossing & (number >= 2)
    begin = np.ceil(np.where(waiting, lead_m + brake + unit[..., 1] * 40, begin)).clip(1)
    light = unit[..., 2] < 0.2
    ahead = np.where(crossing, begin - 1, lead_m + 15 + unit[..., 1] * 80)
    roads.stop = np.where(waiting | light, ahead, np.inf)
    roads.red_at = np.where(waiting, 0.0, np.where(light, 1 + 6 * unit[..., 0], np.inf))
    roads.enter = begin.copy()  # curves may begin later than the box
    roads.leave = roads.leave + begin
    inside = np.nonzero(roads.layout == CROSSING)[0]
    if len(inside):
        _meet(roads, inside, begin)


def _meet(roads: Roads, inside: Array, entry: Array) -> None:
    """Move the lanes of intersections so that each crosses its stop line at the box and exits in a lane."""
    arm = np.array([0, 0, 1, 2, 3]) * (np.pi / 2)
    across = np.array([-1.5, -0.5, -0.5, -0.5, -0.5]) * LANE_WIDTH_M
    radius, run = roads.radius[inside], roads.run[inside]
    turning = np.isfinite(radius)
    reach = _turn_reach(np.where(turning, radius, 10.0), run)
    side = np.sign(roads.curvature[inside])
    exit_at = np.where(side > 0, _EXIT_M, -_EXIT_M)
    delay = np.where(turning, np.maximum(_BOX_M + exit_at - reach, 0), 0.0)
    roads.enter[inside] += delay
    roads.leave[inside] += delay
    centre, base = roads.start[inside, :1, :2].copy(), roads.start[inside, :1, 2]
    heading = base + arm
    along = -_BOX_M - entry[inside]
    cos, sin = np.cos(heading), np.sin(heading)
    roads.start[inside, :, 0] = centre[..., 0] + along * cos - across * sin
    roads.start[inside, :, 1] = centre[..., 1] + along * sin + across * cos
    roads.start[inside, :, 2] = heading


def _turn_reach(radius: Array, run: Array, points: int = 64) -> Array:
    """How far a 90 degree turn carries along its first direction, metres."""
    length = radius * np.pi / 2  # where the run-out begins; it ends `run` later
    u = (np.arange(points) + 0.5) / points
    s = (length + run)[..., None] * u
    turned = (_ramp(s, run[..., None]) - _ramp(s - length[..., None], run[..., None])) / radius[..., None]
    return np.asarray(np.cos(turned).mean(axis=-1) * (length + run))


class Lines:
    """The reference lines as points, one every two metres; positions anywhere follow from them."""

    def __init__(self, roads: Roads, longest_m: float) -> None:
        self.roads = roads
        middles = (np.arange(int(longest_m / _POINT_M) + 2) + 0.5) * _POINT_M
        middle = roads.start[..., 2:3] + roads.turned(
            np.broadcast_to(middles, (*roads.run.shape, len(middles)))
        )
        steps = _POINT_M * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
        self.points = np.concatenate(
            [roads.start[..., None, :2], roads.start[..., None, :2] + steps.cumsum(2)], 2
        )

    def at(
        self,
        lane: Int[Array, "scenes agents"],
        s: Float[Array, "scenes agents frames"],
        d: Array,
        slope: Array,
    ) -> tuple[Array, Array]:
        """Position [scenes, agents, frames, 2] and heading at arc length `s`, `d` metres to the left of the
        line.

        `slope` is the change of `d` per metre of arc length.
        """
        of = self.roads.lane(lane)
        number = np.floor(s / _POINT_M)
        base = number * _POINT_M
        scene = np.arange(len(lane))[:, None, None]
        point = self.points[scene, lane[:, :, None], number.astype(np.int64)]
        middle = of.start[..., 2:3] + of.turned(0.5 * (base + s))
        heading = of.start[..., 2:3] + of.turned(s)
        point = point + (s - base)[..., None] * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
        left = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        return point + d[..., None] * left, heading + np.arctan2(slope, 1 - of.bend(s) * d)

    def centres(self, reach_m: Float[Array, " scenes"], every: int = 3) -> Array:
        """Lane centre lines [scenes, lanes, points, 2]; NaN behind `reach_m` and in unused lanes."""
        number = np.arange(0, self.points.shape[2], every)
        s = number * _POINT_M
        shape = (*self.points.shape[:2], len(s))
        heading = self.roads.start[..., 2:3] + self.roads.turned(np.broadcast_to(s, shape))
        left = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        lines = self.points[:, :, number] + self.roads.offset[..., None, None] * left
        used = np.arange(LANES) < self.roads.count[:, None]
        drawn = used[..., None] & (s <= reach_m[:, None, None])
        return np.where(drawn[..., None], lines, np.nan)
