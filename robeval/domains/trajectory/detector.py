"""Detectors of tracks that no driver drives: jittery (or too smooth) for their speed.

Statistics are pure functions of positions, so that an adaptive attacker can differentiate them; `Detector`
adds thresholds per speed class, calibrated on clean tracks.

Source: variance and CUSUM statistics, their scales and slack: Zhang et al., arXiv:2201.05057 and the authors'
repository; the SVM is named in the paper, its features are ours.
Differs: thresholds are conditioned on speed. The variance statistic is divided by speed squared, so that one
global threshold fires on slow vehicles only.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robeval.domains.trajectory.kinematics import limits_from_tracks
from robeval.errors import DataError, OptionError

DetectorKind = Literal["variance", "cusum", "svm"]
PUBLISHED_THRESHOLD = {"variance": 0.02, "cusum": 0.15}
PUBLISHED_SCALES = (4.957, 0.956)
"""Longitudinal and lateral acceleration scales of the CUSUM, metres per frame², ApolloScape at 2 Hz."""

_SLACK = 0.36
_FLOOR = 1e-7
_CALM = -1.0
_CHORD_M = 0.3
_SVM_STEPS = 300


def variance_statistic(track: Float[Tensor, "*rows frames 2"]) -> Float[Tensor, "*rows"]:
    """Variance of the acceleration over the mean square of the speed, both per frame; 0 for a steady track.

    Raises DataError with fewer than three frames.
    """
    velocity, acceleration = _derivatives(track)
    spread = (acceleration - acceleration.mean(dim=-2, keepdim=True)).square().sum(dim=(-1, -2))
    return spread / velocity.square().sum(dim=(-1, -2)).clamp_min(1e-6)


def cusum_statistic(
    track: Float[Tensor, "*rows frames 2"], scales: tuple[float, float] = PUBLISHED_SCALES
) -> Float[Tensor, "*rows"]:
    """The larger of the longitudinal and the lateral cumulative sum of acceleration reversals.

    Only sign flips accumulate: each adds its size (in units of its scale) less 0.36, never below 0. The
    running maximum counts. Raises DataError with fewer than three frames.
    """
    return cusum_parts(track, scales).amax(dim=-1)


def cusum_parts(
    track: Float[Tensor, "*rows frames 2"], scales: tuple[float, float] = PUBLISHED_SCALES
) -> Float[Tensor, "*rows 2"]:
    """Longitudinal and lateral cumulative sums, see `cusum_statistic`."""
    velocity, acceleration = _derivatives(track)
    along = velocity / (velocity.norm(dim=-1, keepdim=True) + 1e-3)
    across = torch.stack([along[..., 1], -along[..., 0]], dim=-1)
    count = acceleration.shape[-2]
    parts = torch.stack([(d[..., :count, :] * acceleration).sum(-1) for d in (along, across)], dim=-1)
    scaled = parts / torch.tensor(scales, dtype=track.dtype, device=track.device)
    total = peak = torch.zeros_like(scaled[..., 0, :])
    for before, now in zip(scaled.unbind(-2)[:-1], scaled.unbind(-2)[1:], strict=True):
        flipped = now * before < 0
        total = torch.where(flipped, (total + (now - before).abs() - _SLACK).clamp_min(0), total)
        peak = torch.maximum(peak, total)
    return peak


def svm_features(
    track: Float[Tensor, "*rows frames 2"], scales: tuple[float, float] = PUBLISHED_SCALES
) -> Float[Tensor, "*rows 7"]:
    """Variance, both CUSUMs, largest acceleration, jerk, curvature, mean speed; magnitudes as logarithms."""
    velocity, acceleration = _derivatives(track)
    parts = cusum_parts(track, scales)
    if acceleration.shape[-2] > 1:
        jerk = acceleration.diff(dim=-2).norm(dim=-1).amax(dim=-1)
    else:
        jerk = torch.zeros_like(parts[..., 0])
    raw = (
        variance_statistic(track),
        acceleration.norm(dim=-1).amax(dim=-1) + 1e-3,
        jerk + 1e-3,
        _curvature(velocity).amax(dim=-1) + 1e-3,
        mean_step(track) + 1e-3,
    )
    logs = [(value + _FLOOR).log() for value in raw]
    return torch.stack([logs[0], parts[..., 0], parts[..., 1], *logs[1:]], dim=-1)


def mean_step(track: Float[Tensor, "*rows frames 2"]) -> Float[Tensor, "*rows"]:
    """Mean distance covered per frame, metres."""
    step: Tensor = track.diff(dim=-2).norm(dim=-1)
    return step.mean(dim=-1)


def _derivatives(track: Tensor) -> tuple[Tensor, Tensor]:
    if track.shape[-2] < 3:
        raise DataError(
            f"a track of {track.shape[-2]} frames has no acceleration; a detector needs at least 3 frames"
        )
    velocity = track.diff(dim=-2)
    return velocity, velocity.diff(dim=-2)


def _curvature(velocity: Tensor) -> Tensor:
    """Menger curvature at inner frames, 1/m; 0 where a chord is too short to tell."""
    before, after = velocity[..., :-1, :], velocity[..., 1:, :]
    cross = (before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]).abs()
    sides = [before.norm(dim=-1), after.norm(dim=-1), (before + after).norm(dim=-1)]
    long_enough = (sides[0] >= _CHORD_M) & (sides[1] >= _CHORD_M) & (sides[2] >= _CHORD_M)
    product = torch.where(long_enough, sides[0] * sides[1] * sides[2], torch.ones_like(cross))
    return torch.where(long_enough, 2 * cross / product, torch.zeros_like(cross))


class Detector(nn.Module):
    """Raises an alarm on tracks whose statistic is out of the ordinary for their speed.

    Make one with `calibrated` or, with the authors' global constants, `published`.
    """

    edges: Tensor
    high: Tensor
    low: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        kind: DetectorKind,
        scales: tuple[float, float],
        edges: Tensor,
        high: Tensor,
        low: Tensor,
        separator: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Speed classes end at `edges` (metres per frame); scores above `high` or below `low` alarm."""
        super().__init__()
        self.kind = kind
        self.scales = scales
        weight, bias = separator or (torch.zeros(7), torch.zeros(()))
        thresholds = {"edges": edges, "high": high, "low": low, "weight": weight, "bias": bias}
        for name, value in thresholds.items():
            self.register_buffer(name, value.detach().clone().double())

    @classmethod
    def published(cls, kind: Literal["variance", "cusum"] = "variance") -> "Detector":
        """The authors' constants for ApolloScape: one threshold for all speeds."""
        level = torch.tensor([math.log(PUBLISHED_THRESHOLD[kind] + _FLOOR)])
        return cls(kind, PUBLISHED_SCALES, torch.zeros(0), level, torch.full((1,), -math.inf))

    @classmethod
    def calibrated(
        cls,
        tracks: Float[Tensor, "tracks frames 2"],
        rate: float = 0.05,
        kind: DetectorKind = "variance",
        *,
        two_sided: bool = False,
        speed_classes: int = 3,
        suspicious: Float[Tensor, "attacked frames 2"] | None = None,
        present: Bool[Tensor, "tracks frames"] | None = None,
    ) -> "Detector":
        """Thresholds at a false-alarm rate of at most `rate` on clean `tracks`, in each speed class.

        Classes hold equally many tracks. Thresholds are conformal order statistics, so that the rate also
        holds on average for new tracks like these; a class with too few tracks to tell never alarms.
        `suspicious` tracks teach the SVM, which needs them. Tracks with a missing frame are left out.
        """
        if kind == "svm" and (suspicious is None or two_sided):
            raise OptionError("the svm detector learns from `suspicious` tracks and has one side only")
        clean = tracks.detach().double()
        clean = clean if present is None else clean[present.all(dim=-1)]
        if not len(clean) or not 0 < rate < 1:
            raise OptionError(
                f"cannot calibrate on {len(clean)} complete clean tracks at a false-alarm rate of {rate:g}; "
                "give at least one complete track and a rate between 0 and 1"
            )
        bounds = limits_from_tracks(clean, torch.ones(clean.shape[:2], dtype=torch.bool, device=clean.device))
        scales = (max(bounds[1], 1e-3), max(bounds[2], 1e-3))
        share = torch.arange(1, speed_classes, dtype=torch.float64, device=clean.device) / speed_classes
        edges = torch.quantile(mean_step(clean), share)
        never = torch.full((speed_classes,), math.inf, dtype=torch.float64, device=clean.device)
        separator = None
        if suspicious is not None and kind == "svm":
            bad = suspicious.detach().to(clean)
            separator = _separator(svm_features(clean, scales), svm_features(bad, scales))
        detector = cls(kind, scales, edges, never, -never, separator).to(clean.device)
        score, speed = detector.score(clean), detector._class(clean)
        side = rate / 2 if two_sided else rate
        for number in range(speed_classes):
            chosen = score[speed == number]
            detector.high[number] = _upper(chosen, side)
            if two_sided:
                detector.low[number] = -_upper(-chosen, side)
        return detector

    def score(self, tracks: Float[Tensor, "*rows frames 2"]) -> Float[Tensor, "*rows"]:
        """The logarithm of the statistic, or the SVM's margin; differentiable."""
        if self.kind == "svm":
            features = svm_features(tracks, self.scales)
            return features @ self.weight.to(tracks.dtype) + self.bias.to(tracks.dtype)
        if self.kind == "cusum":
            return (cusum_statistic(tracks, self.scales) + _FLOOR).log()
        return (variance_statistic(tracks) + _FLOOR).log()

    def suspicion(
        self,
        tracks: Float[Tensor, "*rows frames 2"],
        present: Bool[Tensor, "*rows frames"] | None = None,
    ) -> Float[Tensor, "*rows"]:
        """How far beyond its threshold a track is: above 0 is an alarm. Differentiable.

        A track that misses a frame cannot be judged and gets -1.
        """
        score, speed = self.score(tracks), self._class(tracks)
        # Infinite thresholds never alarm; kept finite so that an attacker's penalty stays finite.
        high = self.high[speed].clamp(max=1e4).to(score.dtype)
        low = self.low[speed].clamp(min=-1e4).to(score.dtype)
        beyond = torch.maximum(score - high, low - score)
        if present is None:
            return beyond
        return torch.where(present.all(dim=-1), beyond, torch.full_like(beyond, _CALM))

    def fires(
        self,
        tracks: Float[Tensor, "*rows frames 2"],
        present: Bool[Tensor, "*rows frames"] | None = None,
    ) -> Bool[Tensor, "*rows"]:
        """Which tracks raise the alarm."""
        return self.suspicion(tracks, present) > 0

    def _class(self, tracks: Tensor) -> Tensor:
        return torch.bucketize(mean_step(tracks.detach()).double(), self.edges)


def _upper(values: Tensor, rate: float) -> Tensor:
    """The smallest order statistic that a new exchangeable value exceeds with probability at most `rate`."""
    place = math.ceil((len(values) + 1) * (1 - rate))
    return values.sort().values[place - 1] if place <= len(values) else values.new_tensor(math.inf)


def _separator(clean: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
    """A linear soft-margin SVM between feature rows, both classes weighing the same: (weight, bias)."""
    centre, spread = clean.mean(dim=0), clean.std(dim=0).clamp_min(1e-6)
    good, ill = (clean - centre) / spread, (bad - centre) / spread
    with torch.enable_grad():
        weight = torch.zeros(clean.shape[1], dtype=clean.dtype, device=clean.device, requires_grad=True)
        bias = torch.zeros((), dtype=clean.dtype, device=clean.device, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=0.05)
        for _ in range(_SVM_STEPS):
            hinge = (1 + good @ weight + bias).clamp_min(0).mean()
            hinge = hinge + (1 - ill @ weight - bias).clamp_min(0).mean()
            loss = hinge + 1e-3 * weight.square().sum()
            weight.grad, bias.grad = torch.autograd.grad(loss, (weight, bias))
            optimizer.step()
    scaled = weight.detach() / spread
    return scaled, bias.detach() - (scaled * centre).sum()
