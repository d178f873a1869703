"""What a vehicle that believes the predictions would do about them: a light planner, batched.

The ego follows its recorded path. At every prediction instant it takes the mildest acceleration whose 4 s
roll-out keeps 0.5 m between the rectangles of the ego and of the *predicted* target; it drives one frame,
decides anew, and holds its last decision. What happens is then judged against the target's *true* motion.

Source: the question is that of arXiv:2201.05057 (a predicted cut-in makes the vehicle brake hard); the
published planner could not be retrieved, this one is ours. Differs: no lateral evasion.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import STANDING_STEP_M

ACCELERATIONS_M_S2 = (1.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0)
"""From the mildest to full braking."""
HARD_BRAKE_M_S2 = -4.0
ROLL_OUT_S = 4.0
KEPT_GAP_M = 0.5
NEAR_PATH_M = 15.0
Rectangle = tuple[Tensor, Tensor, Tensor]
EGO_SIZE_M = (4.084, 1.730)
"""Length and width of the car that recorded nuScenes."""


class Consequence(NamedTuple):
    """What the predictions led to; NaN for scenes without an ego that moves."""

    hard_brake: Float[Tensor, " batch"]
    """1 where the ego ever chose -4 m/s² or harder."""
    spurious_brake: Float[Tensor, " batch"]
    """1 where it did so under the adversarial prediction and not under the clean one."""
    min_gap: Float[Tensor, " batch"]
    """Smallest distance between the rectangles of the ego and of the target's true motion, metres."""
    collision: Float[Tensor, " batch"]
    """1 where they overlap."""
    progress_loss: Float[Tensor, " batch"]
    """How much less way the ego made than under the clean prediction, metres."""


def consequence(
    scenes: SceneBatch,
    clean_path: Float[Tensor, "batch windows horizon 2"],
    path: Float[Tensor, "batch windows horizon 2"],
) -> Consequence:
    """What believing `path` does to the ego of the (clean) `scenes`, compared with believing `clean_path`.

    NaN throughout with fewer than two observed frames: the ego's speed is then unknown.
    """
    if scenes.history < 2:
        return Consequence(*(path.new_full((len(scenes),), torch.nan) for _ in Consequence._fields))
    clean, attacked = drive(scenes, clean_path), drive(scenes, path)
    before, after = (_brakes_hard(ego) for ego in (clean, attacked))
    spurious = torch.where(before.isnan(), before, after * (1 - before))
    collision = torch.where(attacked.gap.isnan(), torch.nan, (attacked.gap <= 0).to(path.dtype))
    return Consequence(after, spurious, attacked.gap, collision, clean.progress - attacked.progress)


class Drive(NamedTuple):
    """What the ego did: the acceleration of each decision (m/s²), its smallest true gap (m), its way (m)."""

    acceleration: Float[Tensor, "batch windows"]
    gap: Float[Tensor, " batch"]
    progress: Float[Tensor, " batch"]


def drive(scenes: SceneBatch, path: Float[Tensor, "batch windows horizon 2"]) -> Drive:
    """The ego's decisions when it believes `path`, and how they meet the target's true motion."""
    route = _route(scenes)
    size = scenes.size[:, 0]
    start = scenes.history - 1
    time = torch.arange(1, scenes.horizon + 1, device=path.device) * scenes.dt.unsqueeze(1)
    looked_at = time <= ROLL_OUT_S + 1e-4
    way = torch.zeros_like(scenes.dt)
    speed = (scenes.ego[:, start] - scenes.ego[:, start - 1]).norm(dim=-1) / scenes.dt
    chosen, driven = [], []
    for window in range(scenes.windows):
        believed = path[:, window]
        facing = directions(believed, scenes.heading[:, 0, start + window])
        options = way.view(-1, 1, 1) + _distance(speed, time)
        gap = _gap(route, options, believed.unsqueeze(1), facing.unsqueeze(1), size)
        option = _mildest(torch.where(looked_at.unsqueeze(1), gap, torch.inf).amin(dim=-1))
        acceleration = path.new_tensor(ACCELERATIONS_M_S2)[option]
        chosen.append(acceleration)
        rolled = options.gather(1, option.view(-1, 1, 1).expand(-1, 1, options.shape[2])).squeeze(1)
        driven.append(rolled if window == scenes.windows - 1 else rolled[:, :1])
        way, speed = rolled[:, 0], (speed + acceleration * scenes.dt).clamp_min(0)
    gap, progress = _outcome(scenes, route, torch.cat(driven, dim=1))
    valid = path.isfinite().flatten(1).all(dim=1) & progress.isfinite()
    decisions = torch.where(valid.unsqueeze(1), torch.stack(chosen, dim=1), torch.nan)
    return Drive(decisions, torch.where(valid, gap, torch.nan), torch.where(valid, progress, torch.nan))


def planning_error(
    scenes: SceneBatch, path: Float[Tensor, "batch windows horizon 2"]
) -> Float[Tensor, " batch"]:
    """Mean error across the ego's path, over known steps within 15 m of that path, metres; NaN without any.

    Source: planning-aware errors as in arXiv:2209.08744; this definition is ours.
    """
    if scenes.history < 2:
        return path.new_full((len(scenes),), torch.nan)
    route, truth = _route(scenes), scenes.future().flatten(1, 2)
    away = (truth.unsqueeze(2) - route.points.unsqueeze(1)).norm(dim=-1)
    nearest = away.nan_to_num(nan=torch.inf).min(dim=-1)
    unit = route.unit.gather(1, nearest.indices.unsqueeze(-1).expand(-1, -1, 2))
    error = path.flatten(1, 2) - truth
    across = (unit[..., 0] * error[..., 1] - unit[..., 1] * error[..., 0]).abs()
    near = (nearest.values <= NEAR_PATH_M) & unit.isfinite().all(dim=-1)
    counted: Tensor = near & scenes.future_present().flatten(1)
    return torch.where(counted, across, 0).sum(dim=1) / counted.sum(dim=1)


def rectangle_gap(first: Rectangle, second: Rectangle) -> Tensor:
    """Distance between two oriented rectangles, 0 where they overlap, NaN where one is unknown: [...].

    Each is (centre [..., 2], heading [...], length and width [..., 2]), broadcast against the other. Where
    they are apart, the nearest points include a corner of one; they overlap where no axis separates them.
    """
    distances, separated = [], []
    for box, other in ((first, second), (second, first)):
        centre, heading, size = box
        corners = _into_frame(_corners(*other), centre, heading)
        half = (size / 2).unsqueeze(-2)
        distances.append((corners.abs() - half).clamp_min(0).norm(dim=-1).amin(dim=-1))
        beyond = (corners > half).all(dim=-2) | (corners < -half).all(dim=-2)
        separated.append(beyond.any(dim=-1))
    distance = torch.minimum(*distances)
    return torch.where(separated[0] | separated[1] | distance.isnan(), distance, 0)


def _corners(centre: Tensor, heading: Tensor, size: Tensor) -> Tensor:
    """The four corners of rectangles: [..., 4, 2]."""
    signs = centre.new_tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    along = torch.stack([heading.cos(), heading.sin()], dim=-1).unsqueeze(-2)
    across = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    half = signs * size.unsqueeze(-2) / 2
    return centre.unsqueeze(-2) + half[..., :1] * along + half[..., 1:] * across


def _into_frame(points: Tensor, centre: Tensor, heading: Tensor) -> Tensor:
    """Points [..., 4, 2] as seen from a rectangle: along and across."""
    away = points - centre.unsqueeze(-2)
    cos, sin = heading.cos().unsqueeze(-1), heading.sin().unsqueeze(-1)
    return torch.stack(
        [cos * away[..., 0] + sin * away[..., 1], cos * away[..., 1] - sin * away[..., 0]], dim=-1
    )


def directions(
    track: Float[Tensor, "rows frames 2"], fallback: Float[Tensor, " rows"]
) -> Float[Tensor, "rows frames"]:
    """The direction of travel at every frame, radians.

    Steps below 0.05 m keep the direction before them; before the first longer one stands `fallback` or, where
    that is NaN, the first direction to come. NaN where there is none at all.
    """
    step = track.diff(dim=1, prepend=2 * track[:, :1] - track[:, 1:2]) if track.shape[1] > 1 else track * 0
    moving = step.norm(dim=-1) >= STANDING_STEP_M
    number = torch.arange(track.shape[1], device=track.device).expand_as(moving)
    last = torch.where(moving, number, -1).cummax(dim=1).values
    heading = torch.atan2(step[..., 1], step[..., 0])
    coming = heading.gather(1, moving.int().argmax(dim=1, keepdim=True))
    coming = torch.where(moving.any(dim=1, keepdim=True), coming, torch.nan)
    before = torch.where(fallback.isnan().unsqueeze(1), coming, fallback.unsqueeze(1))
    return torch.where(last >= 0, heading.gather(1, last.clamp_min(0)), before)


class _Route(NamedTuple):
    """The ego's way from the first decision on: points, the way made at each, the direction from each."""

    points: Float[Tensor, "batch points 2"]
    way: Float[Tensor, "batch points"]
    unit: Float[Tensor, "batch points 2"]

    def at(self, way: Tensor) -> tuple[Tensor, Tensor]:
        """Position and heading after `way` metres [batch, ...]; straight on behind the last point."""
        flat = way.flatten(1).contiguous()
        index = torch.searchsorted(self.way.contiguous(), flat, right=True).sub(1)
        index = index.clamp(0, self.way.shape[1] - 1)
        pick = index.unsqueeze(-1).expand(-1, -1, 2)
        unit = self.unit.gather(1, pick)
        beyond = (flat - self.way.gather(1, index)).unsqueeze(-1)
        position = self.points.gather(1, pick) + beyond * unit
        heading = torch.atan2(unit[..., 1], unit[..., 0])
        return position.view(*way.shape, 2), heading.view(way.shape)


def _route(scenes: SceneBatch) -> _Route:
    """The recorded ego from its last observed frame on; where it stands it keeps its direction."""
    start = scenes.history - 1
    heading = directions(scenes.ego[:, start - 1 :], scenes.ego.new_full((len(scenes),), torch.nan))[:, 1:]
    heading = torch.cat([heading[:, 1:], heading[:, -1:]], dim=1)  # direction *from* a point on
    points = scenes.ego[:, start:]
    way = torch.nn.functional.pad(points.diff(dim=1).norm(dim=-1).cumsum(dim=1), (1, 0))
    return _Route(points, way, torch.stack([heading.cos(), heading.sin()], dim=-1))


def _distance(
    speed: Float[Tensor, " batch"], time: Float[Tensor, "batch steps"]
) -> Float[Tensor, "batch options steps"]:
    """Way made at each time under each acceleration; a braking vehicle stays where it stopped."""
    options = time.new_tensor(ACCELERATIONS_M_S2).view(1, -1, 1)
    speed, time = speed.view(-1, 1, 1), time.unsqueeze(1)
    stop = torch.where(options < 0, speed / -options, torch.inf)
    moving = torch.minimum(time, stop)
    return speed * moving + options * moving.square() / 2


def _gap(route: _Route, way: Tensor, centre: Tensor, facing: Tensor, size: Tensor) -> Tensor:
    """Gap between the ego after `way` [batch, ..., steps] and the target, a square if of unknown heading."""
    position, heading = route.at(way)
    extra = (1,) * (way.dim() - 1)
    footprint = size.view(-1, *extra, 2)
    unknown = facing.isnan().unsqueeze(-1)
    footprint = torch.where(unknown, footprint.amax(dim=-1, keepdim=True), footprint)
    ego = (position, heading, way.new_tensor(EGO_SIZE_M))
    return rectangle_gap(ego, (centre, facing.nan_to_num(), footprint))


def _mildest(gap: Float[Tensor, "batch options"]) -> Tensor:
    """The first option that keeps its distance; without any the one with most room, the hardest of equals."""
    keeps = gap >= KEPT_GAP_M
    last = gap.shape[1] - 1
    roomiest = last - gap.nan_to_num(nan=-1.0).flip(1).argmax(dim=1)
    return torch.where(keeps.any(dim=1), keeps.int().argmax(dim=1), roomiest)


def _outcome(scenes: SceneBatch, route: _Route, way: Float[Tensor, "batch steps"]) -> tuple[Tensor, Tensor]:
    """Smallest gap to the true motion and way made, up to 4 s behind the last decision."""
    frames = slice(scenes.history, None)
    seen = torch.where(scenes.present[:, 0].unsqueeze(-1), scenes.target, torch.nan)
    facing = directions(seen, scenes.heading[:, 0, scenes.history - 1])[:, frames]
    gap = _gap(route, way, scenes.target[:, frames], facing, scenes.size[:, 0])
    step = torch.arange(1, way.shape[1] + 1, device=way.device)
    counted = (step - scenes.windows + 1) * scenes.dt.unsqueeze(1) <= ROLL_OUT_S + 1e-4
    known = counted & scenes.present[:, 0, frames]
    smallest = torch.where(known, gap, torch.inf).amin(dim=1)
    last = counted.sum(dim=1, keepdim=True) - 1
    progress = way.gather(1, last).squeeze(1)
    recorded = scenes.ego[:, scenes.history - 2 :]
    finite = (recorded.isfinite() & route.unit[:, :1].isfinite()).flatten(1).all(dim=1)
    return torch.where(known.any(dim=1), smallest, torch.nan), torch.where(finite, progress, torch.nan)


def _brakes_hard(ego: Drive) -> Tensor:
    hardest = ego.acceleration.amin(dim=1)
    return torch.where(hardest.isnan(), hardest, (hardest <= HARD_BRAKE_M_S2).to(hardest.dtype))
