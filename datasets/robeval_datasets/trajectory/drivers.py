"""How simulated vehicles drive: following, braking, stopping at lights, changing lane.

Source: intelligent driver model, Treiber, Hennecke, Helbing, arXiv:cond-mat/0002177.
Differs: acceleration changes by at most 10 m/s³, and speeding is undone by at most 2.5 m/s².
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from robeval_datasets.trajectory.roads import COMFORT_LATERAL_M_S2, LANE_WIDTH_M, Roads

TICK_S = 0.1
WARM_UP_TICKS = 10
_ACCELERATION, _COMFORT, _STANDSTILL, _HEADWAY = 1.4, 2.0, 2.0, 1.5
_JERK_M_S3, _WORST_BRAKE = 10.0, 7.0
_CHANGE_M = 25.0  # the shortest stretch of road that a lane change takes


@dataclass
class Cast:
    """Who takes part, [scenes, vehicles] each."""

    exists: Array
    lane: Array
    length: Array
    width: Array
    s: Array
    wish: Array
    first: Array


@dataclass
class Script:
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


def drive(
    cast: Cast, script: Script, roads: Roads, frames: int, per_frame: int
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


def _start_changes(now: _State, cast: Cast, script: Script, time: float) -> None:
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


def _wanted(now: _State, cast: Cast, script: Script, own: Roads, limit: Array, time: float) -> Array:
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


def _ahead(now: _State, cast: Cast) -> tuple[Array, Array]:
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
