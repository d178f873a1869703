"""What a driven track looks like to an onlooker: displacement, curvature, accelerations, in SI units.

Derivatives of recorded positions are noisy: read an attack's figures against those of the clean row.
A value that no frames define is NaN ("does not apply").
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.trajectory.curvature import MIN_CHORD_M, menger_curvature
from robeval.domains.trajectory.detector import Detector

DETECTOR_FRAMES = 3


class Deviation(NamedTuple):
    """Distance between the driven and the clean positions, metres: the largest and the mean over frames."""

    max: Float[Tensor, " batch"]
    mean: Float[Tensor, " batch"]


def deviation(
    offset: Float[Tensor, "batch attacked 2"], present: Bool[Tensor, "batch attacked"]
) -> Deviation:
    """How far a track was displaced, over the frames that are present."""
    distance = offset.norm(dim=-1)
    mean = torch.where(present, distance, 0).sum(dim=1) / present.sum(dim=1)
    return Deviation(_largest(distance, present), mean)


class Dynamics(NamedTuple):
    """Largest magnitudes along a track: accelerations in m/s², jerk in m/s³."""

    longitudinal_acceleration: Float[Tensor, " batch"]
    lateral_acceleration: Float[Tensor, " batch"]
    jerk: Float[Tensor, " batch"]


def dynamics(
    track: Float[Tensor, "batch frames 2"],
    present: Bool[Tensor, "batch frames"],
    dt: Float[Tensor, " batch"],
) -> Dynamics:
    """Second and third differences over dt² and dt³, the acceleration split along and across its own chord.

    The chord of an acceleration joins the frames before and after it, so the split is the same in reverse.
    What has no chord (there and back again) is longitudinal.
    """
    pairs = present[:, 1:] & present[:, :-1]
    triples = pairs[:, 1:] & pairs[:, :-1]
    fours = triples[:, 1:] & triples[:, :-1]
    change = track.diff(n=2, dim=1)
    chord = track[:, 2:] - track[:, :-2]
    unit = chord / chord.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    across = (unit[..., 0] * change[..., 1] - unit[..., 1] * change[..., 0]).abs()
    along = (change.square().sum(dim=-1) - across.square()).clamp_min(0).sqrt()
    jerk = track.diff(n=3, dim=1).norm(dim=-1)
    return Dynamics(
        _largest(along, triples) / dt**2, _largest(across, triples) / dt**2, _largest(jerk, fours) / dt**3
    )


class Curvature(NamedTuple):
    """Largest and mean curvature over inner frames, 1/m."""

    max: Float[Tensor, " batch"]
    mean: Float[Tensor, " batch"]


def curvature(track: Float[Tensor, "batch frames 2"], present: Bool[Tensor, "batch frames"]) -> Curvature:
    """Menger curvature where both steps are at least 0.3 m; NaN where no frame has such steps."""
    value = menger_curvature(torch.where(present.unsqueeze(-1), track, torch.nan), MIN_CHORD_M)
    return Curvature(_largest(value, value.isfinite()), value.nanmean(dim=1))


class Turning(NamedTuple):
    """How the direction of travel changes, degrees: the largest change and the sum of all."""

    jump: Float[Tensor, " batch"]
    variation: Float[Tensor, " batch"]


def turning(track: Float[Tensor, "batch frames 2"], present: Bool[Tensor, "batch frames"]) -> Turning:
    """Changes of heading between steps of at least 0.3 m; shorter steps keep the heading before them.

    NaN where fewer than two steps are long enough.
    """
    step = track.diff(dim=1)
    long_enough = (step.norm(dim=-1) >= MIN_CHORD_M) & present[:, 1:] & present[:, :-1]
    number = torch.arange(step.shape[1], device=track.device).expand_as(long_enough)
    last = torch.where(long_enough, number, -1).cummax(dim=1).values
    heading = torch.atan2(step[..., 1], step[..., 0]).gather(1, last.clamp_min(0))
    change = heading.diff(dim=1)
    change = torch.atan2(change.sin(), change.cos()).abs().rad2deg()
    known = (last >= 0)[:, :-1] & (long_enough.sum(dim=1, keepdim=True) > 1)
    sums = torch.where(known, change, 0).sum(dim=1)
    return Turning(_largest(change, known), torch.where(known.any(dim=1), sums, torch.nan))


def detected(
    track: Float[Tensor, "batch frames 2"], present: Bool[Tensor, "batch frames"]
) -> Float[Tensor, " batch"]:
    """1 where the variance detector fires at its published threshold, else 0.

    NaN for incomplete tracks and for fewer than three frames. Differs: the published threshold is one for all
    speeds and fires mostly on slow targets; thresholds calibrated on clean tracks belong to the defense.
    """
    if track.shape[1] < DETECTOR_FRAMES:
        return track.new_full(track.shape[:1], torch.nan)
    fires = Detector.published("variance").to(track.device).fires(track)
    return torch.where(present.all(dim=1), fires.to(track.dtype), torch.nan)


def _largest(value: Float[Tensor, "batch steps"], known: Bool[Tensor, "batch steps"]) -> Tensor:
    """The largest known value per row; NaN without any."""
    if value.shape[1] == 0:
        return value.new_full(value.shape[:1], torch.nan)
    largest = torch.where(known, value, -torch.inf).amax(dim=1)
    return torch.where(known.any(dim=1), largest, torch.nan)
