"""Defenses that are known to be broken: the trust checks must catch them."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import Predictor
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Seed


@dataclass(frozen=True)
class QuantisedInput(Defense):
    """Round positions to a grid.

    The gradient is zero, so that gradient attacks find nothing and robustness looks perfect. It claims an
    exact gradient, as a careless author would. Must come out `suspicious`.

    Source: gradient masking, Athalye et al., arXiv:1802.00420.
    """

    grid_m: Annotated[float, Field(gt=0, description="distance between grid points, metres")] = 0.5

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the grid."""
        return _Quantised(victim, self.grid_m)


@dataclass(frozen=True)
class NotANumber(Defense):
    """Answer NaN: the attack's gradient is NaN, and no comparison is ever true. Must come out `invalid`.

    Source: a common accident; no figure of such a victim means anything.
    """

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim with a broken answer."""
        return _NotANumber(victim)


class _Quantised(Predictor):
    def __init__(self, victim: nn.Module, grid_m: float) -> None:
        super().__init__()
        self.victim = victim
        self.grid_m = grid_m

    def predict(self, seen: Observation) -> Prediction:
        answer: Prediction = self.victim.predict(  # type: ignore[operator]
            seen.replace(past=torch.round(seen.past / self.grid_m) * self.grid_m)
        )
        return answer


class _NotANumber(Predictor):
    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim

    def predict(self, seen: Observation) -> Prediction:
        answer: Prediction = self.victim.predict(seen)  # type: ignore[operator]
        return answer._replace(paths=answer.paths * torch.nan)
