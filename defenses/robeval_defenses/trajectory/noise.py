"""Noise on the history of a target: white on positions, or white on what a driver does.

All kinds are scaled so that the last observed position has a standard deviation of about `sigma_m` per axis.

Source: noise kinds of arXiv:2603.10821, matched over N steps.
Differs: every predictor here computes its derivatives from positions, so the kind that recomputes derivatives
would equal `positions`; `position_matched` is white noise on the velocity instead, summed up. Standard
deviations carry the powers of the time step that make their units right.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.trajectory.batch import Observation
from robeval.seeding import Draws

NoiseKind = Literal["positions", "position_matched", "control_matched"]
_MOVING_M = 0.1
_SLOWEST_M_S = 1.0


def noise_offset(
    seen: Observation, draw: Draws, kind: NoiseKind, sigma_m: float
) -> Float[Tensor, "rows history 2"]:
    """Displacements of the targets' observed frames, metres; 0 where the target was not seen."""
    frames, dtype = seen.past.shape[2], seen.past.dtype
    if kind == "positions" or frames < 2:
        offset = draw.normal(frames, 2, std=sigma_m, dtype=dtype)
    elif kind == "position_matched":
        moved = draw.normal(frames - 1, 2, std=sigma_m / math.sqrt(frames - 1), dtype=dtype)
        offset = _summed(moved)
    else:
        offset = _control_noise(seen, draw.normal(frames - 1, 2, dtype=dtype), sigma_m)
    return torch.where(seen.present[:, 0].unsqueeze(-1), offset, torch.zeros_like(offset))


def _summed(moved: Tensor) -> Tensor:
    """Displacements from per-step ones; the first frame stays."""
    return torch.nn.functional.pad(moved.cumsum(dim=1), (0, 0, 1, 0))


def _control_noise(
    seen: Observation, white: Float[Tensor, "rows steps 2"], sigma_m: float
) -> Float[Tensor, "rows history 2"]:
    """Noise on acceleration and yaw rate, driven from the first frame by a unicycle."""
    past, present = seen.past[:, 0], seen.present[:, 0]
    known = (present[:, 1:] & present[:, :-1]).unsqueeze(-1)
    step = torch.where(known, past.diff(dim=1), torch.zeros_like(past[:, 1:]))
    length = step.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
    count, dt = white.shape[1], seen.dt.to(past.dtype)
    # sqrt(3) / N^1.5 makes twice-summed white noise have a standard deviation of about 1 at the end.
    scale = sigma_m * math.sqrt(3) / count**1.5
    mean_step = length.mean(dim=(1, 2))
    turning = scale / torch.maximum(mean_step, _SLOWEST_M_S * dt).view(-1, 1)
    faster = (scale * white[..., 0]).cumsum(dim=1).unsqueeze(-1)
    angle = (turning * white[..., 1]).cumsum(dim=1)
    # A standing target has no direction: it is jolted along the x axis.
    along = torch.where(length >= _MOVING_M, step / length, torch.tensor([1.0, 0.0]).to(step))
    driven = step + faster * along
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack(
        [cos * driven[..., 0] - sin * driven[..., 1], sin * driven[..., 0] + cos * driven[..., 1]], dim=-1
    )
    return _summed(torch.where(known, turned - step, torch.zeros_like(step)))
