"""Simulated manoeuvres that a target could have driven instead: braking, bends and lane changes.

Source: RobustTraj (Cao et al., arXiv:2208.00094) pays for the clean loss of adversarial training with
domain-specific augmentation; its generator was not released, this one is ours.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.seeding import Draws

LANE_M = 3.7
_MOVING_M_S = 1.0
_NOISE_M = 0.03
_LATERAL_M_S2 = 2.5


def with_manoeuvres(rows: SceneBatch, draw: Draws, probability: float) -> SceneBatch:
    """Scenes in which a share of the moving targets drives a random manoeuvre from its first observed state.

    Neighbours stay, so that a manoeuvre may lead through one.
    """
    first, second = rows.target[:, 0], rows.target[:, 1]
    dt = rows.dt.to(first.dtype)
    velocity = (second - first) / dt.unsqueeze(-1)
    possible = rows.present[:, 0].all(dim=-1) & (velocity.norm(dim=-1) >= _MOVING_M_S)
    driven = manoeuvre(first, velocity, dt, rows.target.shape[1], draw)
    chosen = (possible & draw.coin(probability)).view(-1, 1, 1)
    target = torch.where(chosen, driven, rows.target)
    return rows.replace(track=torch.cat([target.unsqueeze(1), rows.track[:, 1:]], dim=1))


def manoeuvre(
    first: Float[Tensor, "rows 2"],
    velocity: Float[Tensor, "rows 2"],
    dt: Float[Tensor, " rows"],
    frames: int,
    draw: Draws,
) -> Float[Tensor, "rows frames 2"]:
    """Random drives from a position and a velocity (m/s): braking or accelerating, bends, lane changes."""
    uniform = draw.uniform(5, dtype=first.dtype)
    kind = draw.integers(3)
    seconds = torch.arange(frames, device=first.device) * dt.unsqueeze(1)
    since = (seconds - uniform[:, :1] * seconds[:, -1:] / 2).clamp_min(0)
    side = torch.where(uniform[:, 1:2] < 0.5, -1.0, 1.0)

    speed = velocity.norm(dim=-1, keepdim=True)
    acceleration = torch.where(uniform[:, 2:3] < 0.75, -1 - 4 * uniform[:, 3:4], 1 + uniform[:, 3:4])
    pace = (speed + torch.where(kind.unsqueeze(1) == 0, acceleration, 0.0) * since).clamp_min(0)
    radius = torch.maximum(40 + 260 * uniform[:, 3:4], speed.square() / _LATERAL_M_S2)
    turned = torch.where(kind.unsqueeze(1) == 1, side * since * speed / radius, 0.0)
    heading = torch.atan2(velocity[:, 1:], velocity[:, :1]) + turned
    step = (pace * dt.unsqueeze(1)).unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], dim=-1)
    track = torch.cat([first.unsqueeze(1), first.unsqueeze(1) + step[:, :-1].cumsum(dim=1)], dim=1)

    part = (since / (3 + 2 * uniform[:, 4:5])).clamp_max(1)
    across = LANE_M * side * (10 * part**3 - 15 * part**4 + 6 * part**5)
    normal = torch.stack([-velocity[:, 1], velocity[:, 0]], dim=-1) / speed.clamp_min(1e-6)
    shift = torch.where((kind == 2).view(-1, 1, 1), across.unsqueeze(-1) * normal.unsqueeze(1), 0.0)
    return track + shift + draw.normal(frames, 2, std=_NOISE_M, dtype=first.dtype)
