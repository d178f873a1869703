"""Filters of observed tracks: linear in the positions, aware of missing frames, differentiable.

Absent frames are neither read nor written. A last observed position is the one that predictors trust most, so
each filter says what it does to it.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Kernel = Literal["mean3", "spline"]
LastPoint = Literal["keep", "holt", "kalman"]

LAST_MOVES_M = 0.2
"""How far a fitted curve may move the last position."""

_STIFFNESS = 1.0
_LEVEL_GAIN, _TREND_GAIN = 0.6, 0.4
_MEASURED_STD_M, _ACCELERATION_STD = 0.3, 2.0


def smoothed(
    past: Float[Tensor, "*rows frames 2"],
    present: Bool[Tensor, "*rows frames"],
    dt: Float[Tensor, "*rows"],
    kernel: Kernel = "mean3",
    smooth_last: LastPoint = "keep",
) -> Float[Tensor, "*rows frames 2"]:
    """The history after `kernel`, its last position after `smooth_last`."""
    curve = mean3(past, present) if kernel == "mean3" else spline(past, present)
    if smooth_last == "keep":
        return curve
    last = holt(past) if smooth_last == "holt" else kalman(past, dt)
    complete = present.all(dim=-1)[..., None]
    return torch.cat(
        [curve[..., :-1, :], torch.where(complete, last, curve[..., -1, :]).unsqueeze(-2)], dim=-2
    )


def mean3(
    past: Float[Tensor, "*rows frames 2"], present: Bool[Tensor, "*rows frames"]
) -> Float[Tensor, "*rows frames 2"]:
    """Every inner frame becomes the mean of itself and its two neighbours; the ends stay.

    A frame with an absent neighbour stays as well.

    Source: the authors' repository of arXiv:2201.05057, which filters fully observed agents only.
    """
    if past.shape[-2] < 3:
        return past
    inner = (past[..., :-2, :] + past[..., 1:-1, :] + past[..., 2:, :]) / 3
    known = present[..., :-2] & present[..., 1:-1] & present[..., 2:]
    inner = torch.where(known.unsqueeze(-1), inner, past[..., 1:-1, :])
    return torch.cat([past[..., :1, :], inner, past[..., -1:, :]], dim=-2)


def spline(
    past: Float[Tensor, "*rows frames 2"], present: Bool[Tensor, "*rows frames"]
) -> Float[Tensor, "*rows frames 2"]:
    """A cubic smoothing spline on the frames: least squares plus the squared second difference.

    The last position moves by at most 0.2 m. Tracks with fewer than three observed frames stay.
    """
    frames = past.shape[-2]
    if frames < 3:
        return past
    enough = present.sum(dim=-1) >= 3
    weight = torch.where(enough.unsqueeze(-1), present, torch.ones_like(present)).to(past.dtype)
    bend = torch.eye(frames, dtype=past.dtype, device=past.device).diff(n=2, dim=0)
    system = torch.diag_embed(weight) + _STIFFNESS * bend.T @ bend
    fitted = torch.linalg.solve(system, weight.unsqueeze(-1) * past)
    shift = fitted - past
    size = shift[..., -1:, :].square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
    limited = shift[..., -1:, :] * (LAST_MOVES_M / size).clamp(max=1.0)
    shift = torch.cat([shift[..., :-1, :], limited], dim=-2)
    used = (present & enough.unsqueeze(-1)).unsqueeze(-1)
    return torch.where(used, past + shift, past)


def moving_average(
    past: Float[Tensor, "*rows frames 2"], present: Bool[Tensor, "*rows frames"], taps: int = 5
) -> Float[Tensor, "*rows frames 2"]:
    """The mean over the observed frames among `taps` centred ones; windows shrink at the ends.

    Windows shrink evenly on both sides, so that a constant speed is left alone.
    """
    frames = past.shape[-2]
    number = torch.arange(frames, device=past.device)
    reach = torch.minimum(torch.minimum(number, frames - 1 - number), number.new_tensor(taps // 2))
    inside = (number.unsqueeze(0) - number.unsqueeze(1)).abs() <= reach.unsqueeze(1)
    weight = (inside & present.unsqueeze(-2)).to(past.dtype)
    mean = (weight @ past) / weight.sum(dim=-1, keepdim=True).clamp_min(1)
    return torch.where(present.unsqueeze(-1), mean, past)


def holt(past: Float[Tensor, "*rows frames 2"]) -> Float[Tensor, "*rows 2"]:
    """Where double exponential smoothing (level and trend) sees the last position of a complete track."""
    level = past[..., 0, :]
    trend = past[..., min(1, past.shape[-2] - 1), :] - level
    for seen in past.unbind(dim=-2)[1:]:
        new = _LEVEL_GAIN * seen + (1 - _LEVEL_GAIN) * (level + trend)
        trend = _TREND_GAIN * (new - level) + (1 - _TREND_GAIN) * trend
        level = new
    return level


def kalman(past: Float[Tensor, "*rows frames 2"], dt: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows 2"]:
    """Where a constant-velocity Kalman filter sees the last position of a complete track.

    Positions are measured to 0.3 m, accelerations are white with 2 m/s²: gains depend on `dt` only.
    """
    measured = _MEASURED_STD_M**2
    drift = (_ACCELERATION_STD * dt) ** 2
    first, place = past[..., 0, :], past[..., min(1, past.shape[-2] - 1), :]
    speed = (place - first) / dt.unsqueeze(-1)
    # The first two positions give place and speed, and their covariance.
    p11, p12, p22 = torch.full_like(dt, measured), measured / dt, 2 * measured / dt**2
    for seen in past.unbind(dim=-2)[2:]:
        place = place + speed * dt.unsqueeze(-1)
        p11 = p11 + 2 * dt * p12 + dt**2 * p22 + drift * dt**2 / 4
        p12 = p12 + dt * p22 + drift * dt / 2
        p22 = p22 + drift
        gain, speed_gain = p11 / (p11 + measured), p12 / (p11 + measured)
        surprise = seen - place
        place = place + gain.unsqueeze(-1) * surprise
        speed = speed + speed_gain.unsqueeze(-1) * surprise
        p11, p12, p22 = (1 - gain) * p11, (1 - gain) * p12, p22 - speed_gain * p12
    return place
