"""Road users on simulated roads: who follows whom, who brakes, who changes lane.

All scenes advance together, 0.1 s at a time; the only loop is over time. Every random number comes from the
scene's own stream, so a scene is the same however many others are made beside it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray as Array

from robeval.domains.trajectory.batch import BIG_VEHICLE, CYCLE, PEDESTRIAN, SMALL_VEHICLE
from robeval.seeding import Draws
from robeval_datasets.trajectory.drivers import TICK_S, Cast, Script, drive
from robeval_datasets.trajectory.roads import CROSSING, LANE_WIDTH_M, LANES, Lines, Roads, lay, place

VEHICLES, CYCLISTS, WALKERS = 13, 2, 4  # slots; slot 0 is the ego
AGENTS = VEHICLES + CYCLISTS + WALKERS
SPEEDS_M_S = ((0.5, 4.0), (4.0, 9.0), (9.0, 16.0))
_CHANGE_PROBABILITY = 0.25
_WANDER_M, _KNOT_M = 0.08, 10.0
_FASTEST_M_S = 20.0  # along the reference line, on the outside of a bend


@dataclass
class Traffic:
    """Noise-free scenes: agent 0 is the ego, then vehicles, cyclists, pedestrians. Metres, radians."""

    position: Float[Array, "scenes agents frames 2"]
    heading: Float[Array, "scenes agents frames"]
    exists: Bool[Array, "scenes agents"]
    kind: Int[Array, "scenes agents"]
    size: Float[Array, "scenes agents 2"]
    lanes: Float[Array, "scenes lanes points 2"]


def simulate(draw: Draws, regime: Int[Array, " scenes"], frames: int, ticks_per_frame: int) -> Traffic:
    """Scenes of `frames` frames, `ticks_per_frame` tenths of a second apart; `regime` indexes SPEEDS_M_S."""
    low, high = np.array(SPEEDS_M_S)[regime].T
    speed = low + (high - low) * _unit(draw)
    roads = lay(draw, speed)
    cast = _cast(draw, roads, speed, low, high)
    front = np.zeros((len(speed), LANES))
    np.maximum.at(front, (np.arange(len(speed))[:, None], cast.lane), np.where(cast.exists, cast.s, 0.0))
    place(draw, roads, front, speed)
    span_s = (frames - 1) * ticks_per_frame * TICK_S
    script = _script(draw, cast, roads, span_s)
    driven = drive(cast, script, roads, frames, ticks_per_frame)
    others = _others(draw, cast, roads, frames, ticks_per_frame)
    s, d, slope = (np.concatenate(pair, axis=1) for pair in zip(driven, others.path, strict=True))
    d, slope = _wander(draw, s, d, slope, knots=int(_FASTEST_M_S * span_s / _KNOT_M) + 6)
    lane = np.concatenate([cast.lane, others.lane], axis=1)
    reach = (
        s.max(axis=(1, 2)) + 20
    )  # the scene's own: its lanes must not depend on its neighbours in the batch
    lines = Lines(roads, float(reach.max()))
    position, heading = lines.at(lane, s, d, slope)
    heading[:, VEHICLES:][others.backwards] += np.pi
    kind, size = _bodies(draw, cast)
    exists = np.concatenate([cast.exists, others.exists], axis=1)
    return Traffic(position, heading, exists, kind, size, lines.centres(reach))


def _unit(draw: Draws, *shape: int) -> Array:
    """Uniform on [0, 1): [scenes, *shape]."""
    return np.asarray(draw.uniform(*shape).double().numpy())


def _cast(draw: Draws, roads: Roads, speed: Array, low: Array, high: Array) -> Cast:
    """Vehicles in their lanes, queued with gaps that fit their speed; the first of a lane is the one
    ahead."""
    unit = _unit(draw, VEHICLES, 6)
    number = np.arange(VEHICLES)
    exists = number < 1 + 3 + draw.integers(10).numpy()[:, None]
    lane = np.minimum((unit[..., 0] * roads.count[:, None]).astype(np.int64), LANES - 1)
    lane[:, 0] = np.minimum(lane[:, 0], 1)
    truck = (unit[..., 1] < 0.15) & (number > 0)
    length = np.where(truck, 8 + 4 * unit[..., 2], 4.2 + unit[..., 2])
    width = np.where(truck, 2.5, 1.7 + 0.3 * unit[..., 2])
    wish = np.clip(speed[:, None] * (0.85 + 0.3 * unit[..., 3]), low[:, None], high[:, None])
    gap = length + 4 + speed[:, None] * (0.8 + 1.7 * unit[..., 4]) + 10 * unit[..., 5]
    member = (lane[..., None] == np.arange(LANES)) & exists[..., None]
    ahead, rank = _in_queue_order(member * gap[..., None]), _in_queue_order(member * 1)
    own = lane[..., None]
    behind = np.take_along_axis(ahead[0], lane, axis=1) - np.take_along_axis(ahead[1], own, axis=2)[..., 0]
    s = 60 + behind + 15 * np.take_along_axis(_unit(draw, LANES), lane, axis=1)
    rank_in_lane = np.take_along_axis(rank[1], own, axis=2)[..., 0]
    return Cast(exists, lane, length, width, s, wish, rank_in_lane == 1)


def _in_queue_order(value: Array) -> tuple[Array, Array]:
    """Sum over vehicles [scenes, lanes], and up to each vehicle [scenes, vehicles, lanes], the ego third in
    line."""
    order = np.array([1, 2, 0, *range(3, VEHICLES)])
    running = np.cumsum(value[:, order], axis=1)
    return running[:, -1], running[:, np.argsort(order)]


def _script(draw: Draws, cast: Cast, roads: Roads, span_s: float) -> Script:
    """Stop-and-go and hard brakes for lanes' first vehicles, lane changes for anybody."""
    unit = _unit(draw, VEHICLES, 8)
    mood = np.where(cast.first, unit[..., 0], 1.0)
    surge, slam = mood < 0.2, (mood >= 0.2) & (mood < 0.4)
    brake_at = np.where(slam, span_s * (0.1 + 0.7 * unit[..., 1]), np.inf)
    side = np.where(unit[..., 4] < 0.5, 1, -1)
    to = cast.lane + side
    same_way = roads.same_way[:, None]
    may = (roads.layout != CROSSING)[:, None] & (to >= 0) & (to < same_way) & (cast.lane < same_way)
    wants = may & (unit[..., 5] < _CHANGE_PROBABILITY) & cast.exists
    return Script(
        swing=np.where(surge, 0.9, 0.0),
        rate=2 * np.pi / (8 + 6 * unit[..., 2]),
        phase=2 * np.pi * unit[..., 3],
        brake_at=brake_at,
        brake_for=1.0 + 2.0 * unit[..., 2],
        brake=3.0 + 3.0 * unit[..., 3],
        change_at=np.where(wants, 0.7 * span_s * unit[..., 6], np.inf),
        change_s=3.0 + 2.0 * unit[..., 7],
        side=side,
    )


@dataclass
class _Others:
    """Cyclists and pedestrians: [scenes, others] each, `path` with frames behind."""

    exists: Array
    lane: Array
    path: tuple[Array, Array, Array]
    backwards: Array


def _others(draw: Draws, cast: Cast, roads: Roads, frames: int, per_frame: int) -> _Others:
    """Cyclists at the right edge of the rightmost lane, pedestrians on both pavements, near the ego."""
    count = CYCLISTS + WALKERS
    unit = _unit(draw, count, 4)
    walks = np.arange(count) >= CYCLISTS
    rank = np.where(walks, np.arange(count) - CYCLISTS, np.arange(count))
    most = np.where(walks, draw.integers(5).numpy()[:, None], draw.integers(3).numpy()[:, None])
    far_side = walks & (unit[..., 0] < 0.5) & (roads.layout != CROSSING)[:, None]
    backwards = walks & (unit[..., 1] < 0.5)
    lane = np.zeros(unit.shape[:2], dtype=np.int64)
    half = 0.5 * roads.count[:, None] * LANE_WIDTH_M
    kerb = np.where((roads.layout == CROSSING)[:, None], 0.5 * LANE_WIDTH_M, half)
    d = np.where(walks, np.where(far_side, 1, -1) * (kerb + 1.5 + 1.5 * unit[..., 2]), 0.3 - kerb)
    speed = np.where(walks, 1.3 * (0.8 + 0.4 * unit[..., 2]), 3 + 3 * unit[..., 2]) * np.where(
        backwards, -1, 1
    )
    start = np.maximum(cast.s[:, :1] - 20 + 60 * unit[..., 3], 20.0)
    time = np.arange(frames) * per_frame * TICK_S
    s = start[..., None] + speed[..., None] * time
    d = np.broadcast_to(d[..., None], s.shape)
    return _Others(rank < most, lane, (s, d, np.zeros_like(s)), backwards)


def _wander(draw: Draws, s: Array, d: Array, slope: Array, knots: int) -> tuple[Array, Array]:
    """Nobody keeps the middle exactly: AR(1) knots every 10 m, a cubic B-spline between them.

    Over arc length, so that slow vehicles do not steer at a standstill, and with a continuous second
    derivative.
    """
    keep = 0.6
    # A cubic B-spline averages its knots; this brings the curve's spread back to the nominal one.
    noise = draw.normal(AGENTS, knots).double().numpy() * (_WANDER_M * 1.25)
    for k in range(1, knots):
        noise[..., k] = keep * noise[..., k - 1] + np.sqrt(1 - keep**2) * noise[..., k]
    place_in = (s - s.min(axis=2, keepdims=True)) / _KNOT_M
    base = np.floor(place_in).astype(np.int64)
    u = place_in - base
    near = [np.take_along_axis(noise, base + k, axis=2) for k in range(4)]
    weights = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    slopes = (-3 * (1 - u) ** 2, 9 * u**2 - 12 * u, -9 * u**2 + 6 * u + 3, 3 * u**2)
    shift = sum(w * n for w, n in zip(weights, near, strict=True)) / 6
    lean = sum(w * n for w, n in zip(slopes, near, strict=True)) / (6 * _KNOT_M)
    return d + shift, slope + lean


def _bodies(draw: Draws, cast: Cast) -> tuple[Array, Array]:
    """Kinds and sizes of all agents."""
    scenes = len(cast.s)
    kind = np.full((scenes, AGENTS), SMALL_VEHICLE)
    kind[:, :VEHICLES][cast.length >= 8] = BIG_VEHICLE
    kind[:, VEHICLES : VEHICLES + CYCLISTS] = CYCLE
    kind[:, VEHICLES + CYCLISTS :] = PEDESTRIAN
    size = np.empty((scenes, AGENTS, 2))
    size[:, :VEHICLES] = np.stack([cast.length, cast.width], axis=-1)
    size[:, VEHICLES : VEHICLES + CYCLISTS] = (1.8, 0.6)
    size[:, VEHICLES + CYCLISTS :] = (0.6, 0.6)
    return kind, size
