"""Road users on simulated roads: who follows whom, who brakes, who changes lane.

All scenes advance together, 0.1 s at a time; the only loop is over time. Every random number comes from the
scene's own stream, so a scene is the same however many others are made beside it.

Source: intelligent driver model, Treiber, Hennecke, Helbing, arXiv:cond-mat/0002177.
Differs: acceleration changes by at most 10 m/s³, and speeding is undone by at most 2.5 m/s².
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray as Array

from robeval.domains.trajectory.batch import BIG_VEHICLE, CYCLE, PEDESTRIAN, SMALL_VEHICLE
from robeval.seeding import Draws
from robeval_datasets.trajectory.roads import (
    COMFORT_LATERAL_M_S2,
    CROSSING,
    LANE_WIDTH_M,
    LANES,
    Lines,
    Roads,
    lay,
    place,
)

TICK_S = 0.1
VEHICLES, CYCLISTS, WALKERS = 13, 2, 4  # slots; slot 0 is the ego
AGENTS = VEHICLES + CYCLISTS + WALKERS
WARM_UP_TICKS = 10
SPEEDS_M_S = ((0.5, 4.0), (4.0, 9.0), (9.0, 16.0))
_ACCELERATION, _COMFORT, _STANDSTILL, _HEADWAY = 1.4, 2.0, 2.0, 1.5
_JERK_M_S3, _WORST_BRAKE = 10.0, 7.0
_CHANGE_PROBABILITY, _CHANGE_M = 0.25, 25.0
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


@dataclass
class _Cast:
    """Who takes part, [scenes, vehicles] each."""

    exists: Array
    lane: Array
    length: Array
    width: Array
    s: Array
    wish: Array
    first: Array


@dataclass
class _Script:
    """What the vehicles have in mind, [scenes, vehicles] each; seconds from the end of the warm-up."""

    swing: Array  # share of the wished speed that stop-and-go takes away
    rate: Array
    phase: Array
    brake_at: Array
    brake_for: Array
    brake: Array
    change_at: Array
    change_s: Array
    side: Array


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
    driven = _drive(cast, script, roads, frames, ticks_per_frame)
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


def _cast(draw: Draws, roads: Roads, speed: Array, low: Array, high: Array) -> _Cast:
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
    return _Cast(exists, lane, length, width, s, wish, rank_in_lane == 1)


def _in_queue_order(value: Array) -> tuple[Array, Array]:
    """Sum over vehicles [scenes, lanes], and up to each vehicle [scenes, vehicles, lanes], the ego third in
    line."""
    order = np.array([1, 2, 0, *range(3, VEHICLES)])
    running = np.cumsum(value[:, order], axis=1)
    return running[:, -1], running[:, np.argsort(order)]


def _script(draw: Draws, cast: _Cast, roads: Roads, span_s: float) -> _Script:
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
    return _Script(
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
class _State:
    """Where every vehicle is now, [scenes, vehicles] each."""

    s: Array
    v: Array
    a: Array
    old_lane: Array
    new_lane: Array
    change_from: Array
    change_m: Array
    commits: Array


def _drive(
    cast: _Cast, script: _Script, roads: Roads, frames: int, per_frame: int
) -> tuple[Array, Array, Array]:
    """Arc length, lateral offset and its slope of every vehicle: [scenes, vehicles, frames] each."""
    own = roads.lane(cast.lane)
    limit = np.sqrt(COMFORT_LATERAL_M_S2 * own.radius)
    slow = np.minimum(0.9 * cast.wish, _curve_speed(own, limit, cast.s))
    zero = np.zeros_like(cast.s)
    now = _State(
        cast.s.copy(), slow, zero, cast.lane, cast.lane.copy(), zero.copy(), zero + _CHANGE_M, zero > 1
    )
    kept: list[tuple[Array, Array, Array]] = []
    for tick in range(-WARM_UP_TICKS, (frames - 1) * per_frame + 1):
        if tick >= 0 and tick % per_frame == 0:
            kept.append((now.s.copy(), *_sideways(now, own)))
        time = tick * TICK_S
        _start_changes(now, cast, script, time)
        _choose_at_lights(now, own, time)
        a = _wanted(now, cast, script, own, limit, time)
        now.a = np.clip(a, now.a - _JERK_M_S3 * TICK_S, now.a + _JERK_M_S3 * TICK_S)
        v = np.maximum(now.v + now.a * TICK_S, 0)
        now.a = np.where(v > 0, now.a, 0.0)
        d, _ = _sideways(now, own)
        now.s += 0.5 * (now.v + v) * TICK_S / (1 - own.bend(now.s) * d)
        now.v = v
    s, d, slope = (np.stack(values, axis=-1) for values in zip(*kept, strict=True))
    return s, d, slope


def _curve_speed(own: Roads, limit: Array, s: Array) -> Array:
    """The speed from which a comfortable brake still reaches the curve's limit; no limit behind it."""
    before = np.sqrt(limit**2 + 2 * 1.5 * np.maximum(own.enter - s, 0))
    return np.where(s < own.leave + own.run, before, np.inf)


def _sideways(now: _State, own: Roads) -> tuple[Array, Array]:
    """Lateral offset and its slope over arc length: a quintic from the old lane to the new one."""
    u = np.clip((now.s - now.change_from) / now.change_m, 0, 1)
    shift = (now.new_lane - now.old_lane) * LANE_WIDTH_M
    blend = u**3 * (10 - 15 * u + 6 * u * u)
    return own.offset + shift * blend, shift * 30 * (u * (1 - u)) ** 2 / now.change_m


def _start_changes(now: _State, cast: _Cast, script: _Script, time: float) -> None:
    """Begin the lane changes that are due, where the new lane has room; the others are given up."""
    scene, who = np.nonzero((script.change_at >= time) & (script.change_at < time + TICK_S))
    if not len(scene):
        return
    to = now.new_lane[scene, who] + script.side[scene, who]
    away = np.abs(now.s[scene] - now.s[scene, who, None])
    room = 10 + 0.8 * np.maximum(now.v[scene], now.v[scene, who, None])
    taken = (now.new_lane[scene] == to[:, None]) | (now.old_lane[scene] == to[:, None])
    free = ~(taken & cast.exists[scene] & (away < room)).any(axis=1)
    scene, who, to = scene[free], who[free], to[free]
    now.new_lane[scene, who] = to
    now.change_from[scene, who] = now.s[scene, who]
    now.change_m[scene, who] = np.maximum(now.v[scene, who] * script.change_s[scene, who], _CHANGE_M)


def _choose_at_lights(now: _State, own: Roads, time: float) -> None:
    """In the tick when a light turns red, whoever would have to brake harder than 4 m/s² drives on."""
    turning = (own.red_at >= time) & (own.red_at < time + TICK_S)
    now.commits |= turning & (own.stop - now.s < now.v**2 / 8)


def _wanted(now: _State, cast: _Cast, script: _Script, own: Roads, limit: Array, time: float) -> Array:
    """The acceleration that every driver wants, m/s²."""
    gap, closing = _ahead(now, cast)
    stop = own.stop - now.s
    obeys = (own.red_at <= time) & ~now.commits & (stop > -1)
    nearer = obeys & (stop < gap)
    gap = np.where(nearer, stop, gap)
    closing = np.where(nearer, now.v, closing)
    swing = script.swing * (0.5 - 0.5 * np.cos(script.rate * time + script.phase))
    wish = np.minimum(cast.wish * (1 - swing), _curve_speed(own, limit, now.s))
    wished_gap = _STANDSTILL + np.maximum(
        now.v * _HEADWAY + now.v * closing / (2 * np.sqrt(_ACCELERATION * _COMFORT)), 0
    )
    free = np.maximum(_ACCELERATION * (1 - (now.v / wish) ** 4), -2.5)
    a = free - _ACCELERATION * (wished_gap / np.maximum(gap, 0.1)) ** 2
    slamming = (time >= script.brake_at) & (time < script.brake_at + script.brake_for)
    a = np.where(slamming, np.minimum(a, -script.brake), a)
    return np.clip(a, -_WORST_BRAKE, None)


def _ahead(now: _State, cast: _Cast) -> tuple[Array, Array]:
    """Free distance to the next vehicle in any lane that one occupies, and how fast it shrinks."""
    old, new = now.old_lane, now.new_lane
    shares = old[:, :, None] == old[:, None]
    if (old != new).any():
        shares |= (old[:, :, None] == new[:, None]) | (new[:, :, None] == old[:, None])
        shares |= new[:, :, None] == new[:, None]
    away = now.s[:, None] - now.s[:, :, None]
    shares &= (away > 0) & cast.exists[:, None]
    away = np.where(shares, away, np.inf)
    leader = away.argmin(axis=2)
    distance = np.take_along_axis(away, leader[..., None], axis=2)[..., 0]
    lengths = 0.5 * (cast.length + np.take_along_axis(cast.length, leader, axis=1))
    alone = np.isinf(distance)
    closing = np.where(alone, 0.0, now.v - np.take_along_axis(now.v, leader, axis=1))
    return np.where(alone, 1e9, distance - lengths), closing


@dataclass
class _Others:
    """Cyclists and pedestrians: [scenes, others] each, `path` with frames behind."""

    exists: Array
    lane: Array
    path: tuple[Array, Array, Array]
    backwards: Array


def _others(draw: Draws, cast: _Cast, roads: Roads, frames: int, per_frame: int) -> _Others:
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


def _bodies(draw: Draws, cast: _Cast) -> tuple[Array, Array]:
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
