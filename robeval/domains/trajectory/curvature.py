"""How sharply a track turns, read off sampled positions.

Source: Menger curvature, the reciprocal radius of the circle through three points.
Differs: steps below 0.3 m are left out (3 cm of sensor noise on a crawling car reads as 28-80 1/m
otherwise), and a turn of more than 90 degrees counts at least its angle per mean step (three points on one
line, there and back, lie on no circle and would read as straight).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

MIN_CHORD_M = 0.3


def menger_curvature(
    track: Float[Tensor, "*rows frames 2"], min_chord_m: float = MIN_CHORD_M
) -> Float[Tensor, "*rows turns"]:
    """Unsigned curvature at every inner frame, 1/m, ``turns = frames - 2``.

    NaN where a step next to the frame is shorter than `min_chord_m` or a position is NaN.
    """
    return _through(track[..., :-2, :], track[..., 1:-1, :], track[..., 2:, :], min_chord_m)


def dense_curvature(
    path: Float[Tensor, "*rows points 2"], step_m: float, min_chord_m: float = MIN_CHORD_M
) -> Float[Tensor, "*rows turns"]:
    """Unsigned curvature along a finely sampled path, 1/m.

    Points are `step_m` metres apart; each is compared with those `stride` points before and behind it, the
    smallest stride that spans `min_chord_m`, so ``turns = points - 2 * stride`` (none on a shorter path). NaN
    points, such as the padding behind a short path, give NaN.
    """
    stride = max(1, math.ceil(min_chord_m / step_m - 1e-9))
    count = max(0, path.shape[-2] - 2 * stride)
    before = path[..., :count, :]
    at, behind = path[..., stride : stride + count, :], path[..., 2 * stride : 2 * stride + count, :]
    # Chords of a bent path are a little shorter than its arc; the stride already guarantees the arc.
    return _through(before, at, behind, 0.5 * stride * step_m)


def _through(
    before: Float[Tensor, "*rows turns 2"],
    at: Float[Tensor, "*rows turns 2"],
    behind: Float[Tensor, "*rows turns 2"],
    min_chord_m: float,
) -> Float[Tensor, "*rows turns"]:
    entry, leave = at - before, behind - at
    entry_m, leave_m = entry.norm(dim=-1), leave.norm(dim=-1)
    cross = (entry[..., 0] * leave[..., 1] - entry[..., 1] * leave[..., 0]).abs()
    dot = (entry * leave).sum(dim=-1)
    tiny = torch.finfo(entry.dtype).tiny ** 0.25
    product = (entry_m * leave_m).clamp_min(tiny) * (behind - before).norm(dim=-1).clamp_min(tiny)
    circle = 2 * cross / product
    turned = torch.atan2(cross, dot) / (0.5 * (entry_m + leave_m)).clamp_min(tiny)
    value = torch.where(dot < 0, torch.maximum(circle, turned), circle)
    known = (entry_m >= min_chord_m) & (leave_m >= min_chord_m) & value.isfinite()
    return torch.where(known, value, torch.full_like(value, float("nan")))
