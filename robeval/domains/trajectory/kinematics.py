"""Which tracks a vehicle could drive: per-frame kinematics and their bounds.

Source: Zhang et al., "On Adversarial Robustness of Trajectory Prediction for Autonomous Vehicles",
arXiv:2201.05057; units and constants as in the authors' repository.
Differs: a frame's limit is the larger of the bound and the clean track's own value; the projection is exact
on its grid, see `corridor`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.corridor import SOFT_M, TOLERANCE, Corridor, Projected

MAGNITUDES = (
    "speed",
    "longitudinal acceleration",
    "lateral acceleration",
    "longitudinal jerk",
    "lateral jerk",
)

PUBLISHED_LIMITS = {
    "nuscenes": (8.599, 1.275, 0.468, 1.957, 0.535),
    "apolloscape": (10.539, 4.957, 0.956, 8.418, 1.577),
    "ngsim": (4.166, 0.291, 0.124, 0.391, 0.185),
}
"""Per-frame bounds shipped by the authors of arXiv:2201.05057, at each set's own frame rate."""


def magnitudes(
    track: Float[Tensor, "*rows frames 2"], present: Bool[Tensor, "*rows frames"] | None = None
) -> Float[Tensor, "*rows 5 steps"]:
    """Absolute per-frame speed, accelerations and jerks, ``steps = frames - 1``.

    Entry k is taken forward from frame k; entries that would need absent or missing frames are 0.
    """
    velocity = track.diff(dim=-2)
    acceleration = velocity.diff(dim=-2)
    jerk = acceleration.diff(dim=-2)
    speed = velocity.norm(dim=-1)
    along = velocity / (speed + SOFT_M).unsqueeze(-1)
    across = torch.stack([along[..., 1], -along[..., 0]], dim=-1)
    steps = velocity.shape[-2]

    def padded(value: Tensor) -> Tensor:
        return torch.nn.functional.pad(value.abs(), (0, steps - value.shape[-1]))

    def part(direction: Tensor, change: Tensor) -> Tensor:
        return padded((direction[..., : change.shape[-2], :] * change).sum(-1))

    parts = [padded(speed), *(part(d, c) for c in (acceleration, jerk) for d in (along, across))]
    result = torch.stack(parts, dim=-2)
    if present is None:
        return result
    return torch.where(_known(present), result, torch.zeros_like(result))


def _known(present: Bool[Tensor, "*rows frames"]) -> Bool[Tensor, "*rows 5 steps"]:
    """Where a magnitude has all the frames that it needs."""
    pairs = present[..., 1:] & present[..., :-1]
    triples = pairs[..., 1:] & pairs[..., :-1]
    fours = triples[..., 1:] & triples[..., :-1]
    steps = pairs.shape[-1]
    rows = [torch.nn.functional.pad(m, (0, steps - m.shape[-1])) for m in (pairs, triples, fours)]
    return torch.stack([rows[0], rows[1], rows[1], rows[2], rows[2]], dim=-2)


def allowed(
    clean: Float[Tensor, "*rows frames 2"],
    limits: Float[Tensor, "*rows 5"],
    present: Bool[Tensor, "*rows frames"] | None = None,
) -> Float[Tensor, "*rows 5 steps"]:
    """The limit of every frame: the bound, or the clean track's own value where that is larger."""
    return torch.maximum(limits.unsqueeze(-1), magnitudes(clean, present))


def excess(
    track: Float[Tensor, "*rows frames 2"],
    clean: Float[Tensor, "*rows frames 2"],
    limits: Float[Tensor, "*rows 5"],
    present: Bool[Tensor, "*rows frames"] | None = None,
) -> Float[Tensor, "*rows"]:
    """The largest share of its limit that any magnitude takes: above 1 the track is out of bounds."""
    share = magnitudes(track, present) / allowed(clean, limits, present).clamp_min(1e-9)
    return share.flatten(-2).amax(dim=-1)


def corridor(
    clean: Float[Tensor, "rows frames 2"],
    limits: Float[Tensor, "rows 5"],
    deviation: float | Float[Tensor, " rows"],
    attacked: int,
    present: Bool[Tensor, "rows frames"] | None = None,
) -> Corridor:
    """What may be done to the first `attacked` frames of tracks; made once, projected onto many times.

    Feasible is a displacement that keeps every magnitude within its limit on the whole track (the clean tail
    behind the attacked frames included) and moves no frame by more than `deviation` metres.
    """
    if not 0 < attacked < clean.shape[1]:
        raise ValueError(
            f"{attacked} attacked frames of {clean.shape[1]}: at least one, and a tail of at least one"
        )
    known = _known(torch.ones_like(clean[..., 0], dtype=torch.bool) if present is None else present)
    exact = clean.double()
    bound = allowed(exact, limits.double(), present) * (1 + TOLERANCE / 2)
    bound = torch.where(known, bound, torch.full_like(bound, torch.inf))[..., :attacked]
    # Differences of nearby positions lose float32's digits: they are made in float64 and then rounded.
    tail = torch.nn.functional.pad(exact, (0, 0, 0, 3))
    velocity = tail.diff(dim=1)
    motion = torch.stack([velocity.diff(dim=1, n=n)[:, :attacked] for n in range(3)], dim=1)
    cap = torch.as_tensor(deviation, dtype=clean.dtype, device=clean.device).expand(len(clean))
    return Corridor.of(motion.to(clean.dtype), bound.to(clean.dtype), cap)


def project(
    offset: Float[Tensor, "rows attacked 2"],
    clean: Float[Tensor, "rows frames 2"],
    limits: Float[Tensor, "rows 5"],
    deviation: float | Float[Tensor, " rows"],
    present: Bool[Tensor, "rows frames"] | None = None,
) -> Projected:
    """The largest scale in {0, 0.01, ..., 1} that makes ``clean + scale * offset`` feasible.

    Feasible: see `corridor`, which is the thing to keep when the same tracks are projected again. The
    gradient takes the scale as a constant.
    """
    return corridor(clean, limits, deviation, offset.shape[1], present).project(offset)


def settle(
    offset: Float[Tensor, "rows attacked 2"],
    clean: Float[Tensor, "rows frames 2"],
    limits: Float[Tensor, "rows 5"],
    deviation: float | Float[Tensor, " rows"],
    present: Bool[Tensor, "rows frames"] | None = None,
) -> Float[Tensor, "rows attacked 2"]:
    """`offset`, shrunk by hundredths where ``clean + offset``, rounded as it is stored, is out of bounds.

    A projected offset is feasible; adding it to float32 positions far from the origin moves it by a rounding
    error that can matter for the jerk. Whoever hands a track over checks it once as the receiver will.
    """
    tail = clean.shape[1] - offset.shape[1]
    exact, bounds = clean.double(), limits.double()
    for _ in range(100):
        track = (clean + torch.nn.functional.pad(offset, (0, 0, 0, tail))).double()
        moved = (track - exact).norm(dim=-1).amax(dim=-1)
        outside = (excess(track, exact, bounds, present) > 1 + TOLERANCE) | (
            moved > deviation * (1 + TOLERANCE)
        )
        if not outside.any():
            return offset
        offset = torch.where(outside.view(-1, 1, 1), offset * 0.99, offset)
    return torch.where(outside.view(-1, 1, 1), torch.zeros_like(offset), offset)


def limits_from_tracks(
    track: Float[Tensor, "tracks frames 2"], present: Bool[Tensor, "tracks frames"]
) -> tuple[float, float, float, float, float]:
    """Per-frame bounds from data: mean + 3 standard deviations of each magnitude over known frames."""
    values = magnitudes(track.double(), present)
    known = _known(present)
    bounds = []
    for number in range(len(MAGNITUDES)):
        chosen = values[:, number][known[:, number]]
        # Signed quantities centred at 0: their spread is the root mean square of the magnitude.
        centre = chosen.mean() if number == 0 else torch.zeros((), dtype=chosen.dtype)
        spread = ((chosen - centre) ** 2).mean().sqrt()
        bounds.append(float(centre + 3 * spread))
    return (bounds[0], bounds[1], bounds[2], bounds[3], bounds[4])


def limits_from_si(
    speed: float, along: float, across: float, along_jerk: float, across_jerk: float, dt: float
) -> tuple[float, float, float, float, float]:
    """Per-frame bounds from m/s, m/s² and m/s³."""
    return (speed * dt, along * dt**2, across * dt**2, along_jerk * dt**3, across_jerk * dt**3)
