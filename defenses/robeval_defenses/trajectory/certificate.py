"""What can be proven about the median of a function under Gaussian noise.

Source: Chiang et al., "Detection as Regression: Certified Object Detection by Median Smoothing",
arXiv:2007.03730; used for trajectories by Bahari et al., "Certified Human Trajectory Prediction",
arXiv:2403.13778.
Differs: quantiles are bounded by order statistics at a stated confidence, split over all coordinates; with
`deployed` the bound also covers the randomness of a median over few copies.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.stats import beta, binom, norm
from torch import Tensor


class Levels(NamedTuple):
    """Between which quantiles of the clean distribution a median stays."""

    low: float
    high: float


def levels(radius: float, sigma: float, deployed: tuple[int, float] | None = None) -> Levels:
    """Quantile levels that bound the median of f(x + d + noise) for every ``|d|₂ <= radius``.

    With ``deployed=(copies, risk)`` they bound the lower median of that many copies, each side except with
    probability `risk`; without, the exact median.
    """
    low = high = 0.5
    if deployed is not None:
        copies, risk = deployed
        place = (copies + 1) // 2
        low = float(beta.ppf(risk, place, copies - place + 1))
        high = float(beta.ppf(1 - risk, place, copies - place + 1))
    shift = radius / sigma
    return Levels(float(norm.cdf(norm.ppf(low) - shift)), float(norm.cdf(norm.ppf(high) + shift)))


def quantile_bounds(
    values: Float[Tensor, "rows copies horizon 2"], level: Levels, risk: float
) -> tuple[Float[Tensor, "rows horizon 2"], Float[Tensor, "rows horizon 2"]]:
    """Below the lower and above the upper quantile, each coordinate and side except with probability `risk`.

    Infinite where there are too few copies to tell.
    """
    copies = values.shape[1]
    ordered = values.sort(dim=1).values
    below = int(binom.ppf(risk, copies, level.low))
    above = int(binom.ppf(risk, copies, 1 - level.high))
    infinite = torch.full_like(ordered[:, 0], math.inf)
    return (
        ordered[:, below - 1] if below > 0 else -infinite,
        ordered[:, copies - above] if above > 0 else infinite,
    )


def worst_distance(
    low: Float[Tensor, "*rows 2"], high: Float[Tensor, "*rows 2"], truth: Float[Tensor, "*rows 2"]
) -> Float[Tensor, "*rows"]:
    """The distance from `truth` to the farthest point of the box."""
    farthest: Tensor = torch.maximum((low - truth).abs(), (high - truth).abs()).norm(dim=-1)
    return farthest
