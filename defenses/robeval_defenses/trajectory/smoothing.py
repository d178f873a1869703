"""Test-time smoothing."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import nn

from robeval.domains.trajectory.batch import Observation
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.trajectory.around import Around
from robeval_defenses.trajectory.filters import Kernel, LastPoint, smoothed


@dataclass(frozen=True)
class Smoothing(Defense):
    """Smooth every agent's history at inference.

    Source: Zhang et al., arXiv:2201.05057 (mitigation by trajectory smoothing, at test time); kernel as in
    the authors' repository.
    Differs: partly observed agents are smoothed too, where a frame has both neighbours. `spline` and
    `smooth_last` are ours: the published kernel never touches the last position, to which predictors are the
    most sensitive (arXiv:2401.10313).
    """

    kernel: Annotated[
        Kernel, Field(description="mean3: mean of three frames, ends kept; spline: a cubic smoothing spline")
    ] = "mean3"
    smooth_last: Annotated[
        LastPoint, Field(description="what becomes of the last position: keep it, or filter it")
    ] = "keep"

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the filter."""
        return Smoothed(victim, self.kernel, self.smooth_last)


class Smoothed(Around):
    """A predictor that sees smoothed histories."""

    def __init__(self, victim: nn.Module, kernel: Kernel = "mean3", smooth_last: LastPoint = "keep") -> None:
        super().__init__(victim)
        self.kernel = kernel
        self.smooth_last = smooth_last

    def cleaned(self, seen: Observation) -> Observation:
        """The observation with every history smoothed."""
        return smooth_observation(seen, self.kernel, self.smooth_last)


def smooth_observation(seen: Observation, kernel: Kernel, smooth_last: LastPoint) -> Observation:
    """`seen` with every agent's history smoothed."""
    dt = seen.dt.to(seen.past.dtype).unsqueeze(1).expand(seen.past.shape[:2])
    return seen.replace(past=smoothed(seen.past, seen.present, dt, kernel, smooth_last))
