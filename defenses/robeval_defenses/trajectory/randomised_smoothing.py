"""The median over noisy copies, with a certificate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction, SceneBatch
from robeval.domains.trajectory.victims.base import Predictor, certain
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.plugins.threat import Budget
from robeval.seeding import Draws, Noise, Seed
from robeval_defenses.trajectory.around import predictor
from robeval_defenses.trajectory.certificate import levels, quantile_bounds, worst_distance
from robeval_defenses.trajectory.filters import moving_average
from robeval_defenses.trajectory.noise import NoiseKind, noise_offset

Denoiser = Literal["none", "moving_average"]
_COPIES_AT_ONCE = 64


@dataclass(frozen=True)
class RandomisedSmoothing(Defense):
    """Predict from many noisy copies of the target's history and answer with the median of each coordinate.

    With noise on positions the hardened victim proves a bound for every change of the history within
    `certificate_radius_m` (Euclidean norm over all its coordinates). That is tiny beside an attack that
    moves every frame by up to 1 m: in that norm it spends up to sqrt(frames) metres.

    Source: arXiv:2603.10821 (noise kinds and sizes), arXiv:2403.13778 (median, denoiser, certificate).
    Differs: each copy answers with its most likely path, so that the answer has one mode; the error of
    estimating quantiles is part of the bound. As published the bound holds for the median of infinitely many
    copies (`guarantee: limit`), which is not what answers: attacks beat it. By default it covers the median of the
    `samples` copies that answer, and is far looser.
    """

    gradient: ClassVar[GradientPath] = "expectation"
    certifies: ClassVar[bool] = True

    sigma_m: Annotated[float, Field(gt=0, description="standard deviation of the noise, metres")] = 0.25
    noise: Annotated[
        NoiseKind, Field(description="white on positions, on velocity, or on acceleration and yaw rate")
    ] = "positions"
    samples: Annotated[int, Field(ge=1, description="noisy copies per prediction")] = 9
    denoiser: Annotated[Denoiser, Field(description="filter of each noisy copy")] = "none"
    certificate_radius_m: Annotated[float, Field(ge=0, description="radius of the bound, metres")] = 0.1
    certificate_samples: Annotated[int, Field(ge=2, description="noisy copies behind the bound")] = 512
    guarantee: Annotated[
        Literal["limit", "deployed"],
        Field(description="bound the median of infinitely many copies (as published), or of `samples`"),
    ] = "deployed"
    confidence: Annotated[
        float, Field(gt=0, lt=1, description="probability that an example's whole bound holds")
    ] = 0.999

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind noise and median."""
        return MedianPredictor(victim, self, seed.child("noise"))


class MedianPredictor(Predictor):
    """The coordinate-wise median of a predictor's most likely path under noise; a `Certifies`."""

    def __init__(self, victim: nn.Module, options: RandomisedSmoothing, seed: Seed) -> None:
        super().__init__()
        self.victim = predictor(victim)
        self.options = options
        self.noise = Noise(seed)
        self.radius = options.certificate_radius_m
        self.radius_budget = Budget(
            "l2_deviation", "m", self.radius, "Euclidean norm of all changes of the history"
        )

    def predict(self, seen: Observation) -> Prediction:
        """One path: the median of each coordinate over the copies."""
        draw = self.noise(seen.ids, seen.past.device)
        return certain(self.paths(seen, draw, self.options.samples).median(dim=1).values)

    def paths(self, seen: Observation, draw: Draws, samples: int) -> Float[Tensor, "rows samples horizon 2"]:
        """The most likely path of each noisy copy."""
        copies = noisy(seen.repeat(samples), draw.repeat(samples), self.options)
        paths = self.victim.predict(copies).most_likely()
        return paths.view(len(seen), samples, *paths.shape[1:])

    def certify(self, batch: SceneBatch) -> Mapping[str, Tensor]:
        """Worst `ade` and `fde` within the radius; `fbd`, `abd`: half the box diagonal, final and mean.

        Metres, [batch] each, averaged over windows. Infinite where the copies are too few for the
        confidence; NaN for noise that is not white on positions, for which nothing is proven.
        """
        seen, truth, known = batch.observation(), batch.future(), batch.future_present()
        if self.options.noise != "positions":
            return dict.fromkeys(("ade", "fde", "fbd", "abd"), batch.track.new_full((len(batch),), torch.nan))
        low, high = (corner.view(truth.shape) for corner in self._box(seen, batch.windows))
        worst, half = worst_distance(low, high, truth), (high - low).norm(dim=-1) / 2
        return {
            "ade": _mean(worst, known),
            "fde": _final(worst, known),
            "fbd": _final(half, known),
            "abd": _mean(half, known),
        }

    def _box(self, seen: Observation, windows: int) -> tuple[Tensor, Tensor]:
        """Where the median can be pushed: lower and upper corner [rows, horizon, 2]."""
        options = self.options
        sides = 2 * 2 * seen.horizon * windows
        deployed = options.guarantee == "deployed"
        risk = (1 - options.confidence) / (sides * (2 if deployed else 1))
        level = levels(self.radius, options.sigma_m, (options.samples, risk) if deployed else None)
        draw = self.noise(seen.ids, seen.past.device).fork("certificate")
        counts = [_COPIES_AT_ONCE] * (options.certificate_samples // _COPIES_AT_ONCE)
        if rest := options.certificate_samples % _COPIES_AT_ONCE:
            counts.append(rest)
        parts = [self.paths(seen, draw.fork(number), count) for number, count in enumerate(counts)]
        return quantile_bounds(torch.cat(parts, dim=1), level, risk)


def _mean(
    value: Float[Tensor, "batch windows horizon"], known: Bool[Tensor, "batch windows horizon"]
) -> Float[Tensor, " batch"]:
    """Over known steps, then over the windows that have any; NaN where none has."""
    total = torch.where(known, value, 0.0).sum(dim=-1) / known.sum(dim=-1)
    return total.nanmean(dim=1)


def _final(
    value: Float[Tensor, "batch windows horizon"], known: Bool[Tensor, "batch windows horizon"]
) -> Float[Tensor, " batch"]:
    """The last step where it is known, over windows; NaN where it is in none."""
    return torch.where(known[..., -1], value[..., -1], torch.nan).nanmean(dim=1)


def noisy(seen: Observation, draw: Draws, options: RandomisedSmoothing) -> Observation:
    """`seen` with noise on the target's history, denoised."""
    past = seen.past[:, 0] + noise_offset(seen, draw, options.noise, options.sigma_m)
    if options.denoiser == "moving_average":
        past = moving_average(past, seen.present[:, 0])
    return seen.with_target_past(past)
