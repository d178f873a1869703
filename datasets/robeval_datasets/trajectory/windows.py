"""From tracks to examples: what every loader of recorded or simulated scenes shares.

A loader brings candidate agents in the source's own coordinates (float64); here the target is put first, the
nearest neighbours behind it, and everything is moved to a local frame before it becomes float32 (at 1e5 m
float32 steps are 8 mm, more than a plausible acceleration per frame).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int8, Int64
from torch import Tensor

from robeval.domains.trajectory.batch import PAD, SceneBatch

STATIONARY_M = 1.0
REGIME_EDGES_M_S = (4.0, 9.0)
REGIMES = ("low", "medium", "high")
_GRID_M = 10.0


@dataclass(frozen=True)
class Window:
    """What one example spans: `history` observed frames, `windows` instants, `horizon` future frames."""

    history: int
    horizon: int
    windows: int
    dt: float
    """Seconds between frames."""

    @property
    def attacked(self) -> int:
        """Frames that the adversary controls."""
        return self.history + self.windows - 1

    @property
    def frames(self) -> int:
        """All frames of an example."""
        return self.attacked + self.horizon


@dataclass(frozen=True)
class Candidates:
    """Who could be in each example, in the source's coordinates; absent frames may hold anything."""

    position: Float64[Tensor, "batch candidates frames 2"]
    present: Bool[Tensor, "batch candidates frames"]
    kind: Int8[Tensor, "batch candidates"]
    heading: Float64[Tensor, "batch candidates frames"]
    size: Float64[Tensor, "batch candidates 2"]
    target: Int64[Tensor, " batch"]
    """Which candidate is the target."""
    ego: Float64[Tensor, "batch frames 2"]
    lanes: Float64[Tensor, "batch lanes points 2"]


def assemble(
    who: Candidates,
    window: Window,
    agents: int,
    ids: tuple[str, ...],
    scene: tuple[str, ...],
    regime: tuple[str, ...] | None = None,
) -> SceneBatch:
    """Examples with the target as agent 0 and its nearest neighbours behind it, `agents` in all.

    A neighbour counts if it is present in a frame that a predictor sees; near means its smallest distance to
    the target over those frames. The local origin is the target's first position rounded to 10 m: a victim
    must not be able to read the clean position off the frame. Limits are left at infinity.
    """
    order = _nearest(who, window.attacked, agents)
    kept = order.shape[1]
    present = _pick(who.present, order)
    used = present[:, :, : window.attacked].any(dim=2)
    present = present & used.unsqueeze(-1)
    rows = torch.arange(len(ids))
    origin = (who.position[rows, who.target, 0] / _GRID_M).round() * _GRID_M
    track = _pick(who.position, order) - origin.view(-1, 1, 1, 2)
    track = torch.where(present.unsqueeze(-1), track, torch.zeros((), dtype=track.dtype)).float()
    heading = torch.where(present, _pick(who.heading, order), torch.nan).float()
    kind = torch.where(used, _pick(who.kind, order), torch.tensor(PAD, dtype=torch.int8))
    size = torch.where(used.unsqueeze(-1), _pick(who.size, order), 0.0).float()
    more = agents - kept
    pad = torch.nn.functional.pad
    return SceneBatch(
        ids=ids,
        track=pad(track, (0, 0, 0, 0, 0, more)),
        present=pad(present, (0, 0, 0, more)),
        kind=pad(kind, (0, more)),
        heading=pad(heading, (0, 0, 0, more), value=float("nan")),
        size=pad(size, (0, 0, 0, more)),
        dt=torch.full((len(ids),), window.dt, dtype=torch.float32),
        origin=origin,
        limits=torch.full((len(ids), 5), float("inf")),
        ego=(who.ego - origin.unsqueeze(1)).float(),
        lanes=(who.lanes - origin.view(-1, 1, 1, 2)).float(),
        scene=scene,
        regime=regimes(track[:, 0], present[:, 0], window.dt, regime),
        history=window.history,
        horizon=window.horizon,
        windows=window.windows,
    )


def _nearest(who: Candidates, attacked: int, agents: int) -> Int64[Tensor, "batch kept"]:
    """The target, then the other candidates from near to far; never-seen ones last."""
    rows = torch.arange(len(who.target))
    seen = who.present[:, :, :attacked]
    position = who.position[:, :, :attacked]
    away = (position - position[rows, who.target].unsqueeze(1)).norm(dim=-1)
    away = torch.where(seen & seen[rows, who.target].unsqueeze(1), away, torch.inf).amin(dim=2)
    away = torch.where(seen.any(dim=2), away.clamp_max(1e12), torch.inf)
    away[rows, who.target] = -1.0
    return away.argsort(dim=1, stable=True)[:, :agents]


def _pick(value: Tensor, order: Int64[Tensor, "batch kept"]) -> Tensor:
    """`value` with its candidate axis replaced by the chosen candidates."""
    return value[torch.arange(len(order)).unsqueeze(1), order]


def regimes(
    target: Float[Tensor, "batch frames 2"],
    present: Bool[Tensor, "batch frames"],
    dt: float,
    known: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """The speed regime of each target: `known` where given, else by mean speed; stationary below 1 m in
    all."""
    first = target[torch.arange(len(target)), present.int().argmax(dim=1)].unsqueeze(1)
    reach = torch.where(present, (target - first).norm(dim=-1), 0.0).amax(dim=1)
    both = present[:, 1:] & present[:, :-1]
    step = torch.where(both, target.diff(dim=1).norm(dim=-1), 0.0)
    speed = step.sum(dim=1) / (both.sum(dim=1).clamp_min(1) * dt)
    level = torch.bucketize(speed.contiguous(), torch.tensor(REGIME_EDGES_M_S, dtype=speed.dtype))
    names = known or tuple(REGIMES[number] for number in level.tolist())
    standing = (reach < STATIONARY_M).tolist()
    return tuple("stationary" if still else name for still, name in zip(standing, names, strict=True))


def chord_heading(
    position: Float64[Tensor, "*rows frames 2"],
    present: Bool[Tensor, "*rows frames"],
    shortest_m: float = 0.05,
) -> Float64[Tensor, "*rows frames"]:
    """Heading along the chord between a frame's neighbours, radians counter-clockwise from +x.

    At the ends of a stretch the one-sided chord. NaN where the agent is absent, alone in time, or moves less
    than `shortest_m`: an unknown direction is never 0.
    """
    ahead = torch.nn.functional.pad(present[..., 1:] & present[..., :-1], (0, 1))
    behind = torch.nn.functional.pad(present[..., 1:] & present[..., :-1], (1, 0))
    step = position.diff(dim=-2)
    step = torch.where(ahead[..., :-1].unsqueeze(-1), step, torch.zeros((), dtype=step.dtype))
    chord = torch.nn.functional.pad(step, (0, 0, 0, 1)) + torch.nn.functional.pad(step, (0, 0, 1, 0))
    known = present & (ahead | behind) & (chord.norm(dim=-1) >= shortest_m)
    return torch.where(known, torch.atan2(chord[..., 1], chord[..., 0]), torch.nan)
