"""Defenses that are known to be broken: the trust checks and the audit must object to exactly these.

They stand before any victim of any domain whose inputs are continuous. None of them protects: whatever robustness they
show is an attack gone blind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from robeval.arrays import Batch
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.registry import Registry
from robeval.seeding import Draws, Noise, Seed

Fields = Annotated[
    tuple[str, ...], Field(min_length=1, description="fields of the batch that the stage changes")
]


class Staged(nn.Module):
    """A victim behind a stage that changes its input."""

    def __init__(self, victim: nn.Module, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.victim = victim

    def forward(self, batch: Batch) -> Any:
        """The victim's answer to what the stage lets through."""
        return self.victim(self.stage(batch))


class Stage(nn.Module):
    """Changes some floating fields of a batch element by element; `rule` may draw from the defense's noise."""

    def __init__(
        self, fields: tuple[str, ...], rule: Callable[[Tensor, Draws], Tensor], seed: Seed | None = None
    ) -> None:
        super().__init__()
        self.fields, self.rule = fields, rule
        self.noise = Noise(seed) if seed is not None else None

    def forward(self, batch: Batch) -> Batch:
        """The batch with the rule applied."""
        tensors = batch.tensors()
        draw = (self.noise or _silence)(batch.ids, batch.device)
        return batch.replace(**{name: self.rule(tensors[name], draw) for name in self.fields})


def _silence(ids: tuple[str, ...], device: torch.device) -> Draws:
    return Seed(0).draws(ids, device)


@dataclass(frozen=True)
class Quantised(Defense):
    """Round inputs to a grid and claim an exact gradient, as a careless author would.

    The gradient is zero: gradient attacks find nothing, and robustness looks perfect. `gradient-path` must object.

    Source: shattered gradients, Athalye et al., arXiv:1802.00420.
    """

    fields: Fields
    grid: Annotated[float, Field(gt=0, description="distance between grid points, in the input's unit")] = 0.5

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the grid."""
        return Staged(victim, Stage(self.fields, lambda value, _: torch.round(value / self.grid) * self.grid))


@dataclass(frozen=True)
class Saturated(Defense):
    """Round inputs smoothly: nearly flat steps with a steep rise between them.

    A gradient exists everywhere and is vanishingly small almost everywhere. `gradient-path` must object.

    Source: vanishing gradients, Athalye et al., arXiv:1802.00420.
    """

    fields: Fields
    grid: Annotated[float, Field(gt=0, description="width of a step, in the input's unit")] = 0.5
    steepness: Annotated[float, Field(gt=0, description="of the rise between two steps")] = 2000.0

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the steps."""
        return Staged(victim, Stage(self.fields, lambda value, _: self._stepped(value)))

    def _stepped(self, value: Tensor) -> Tensor:
        scaled = value / self.grid
        floor = scaled.detach().floor()
        return (floor + torch.sigmoid(self.steepness * (scaled - floor - 0.5))) * self.grid


@dataclass(frozen=True)
class Rippled(Defense):
    """Add a fine ripple of random phase: inputs hardly change, their slope changes wildly.

    The gradient under one draw of the phases is mostly the ripple's; its mean over draws is the victim's.
    `noisy-gradient` must object.

    Source: stochastic gradients, Athalye et al., arXiv:1802.00420.
    """

    fields: Fields
    height: Annotated[float, Field(gt=0, description="amplitude, in the input's unit")] = 0.01
    slope: Annotated[float, Field(gt=0, description="largest slope of the ripple; the identity's is 1")] = (
        10.0
    )

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the ripple."""
        return Staged(victim, Stage(self.fields, self._rippled, seed.child("ripple")))

    def _rippled(self, value: Tensor, draw: Draws) -> Tensor:
        phase = draw.uniform(*value.shape[1:], high=2 * torch.pi, dtype=value.dtype)
        return value + self.height * torch.sin(self.slope / self.height * value + phase)


@dataclass(frozen=True)
class NotANumber(Defense):
    """Answer NaN: no gradient leads anywhere, and no comparison is ever true. Must come out `invalid`.

    Source: a common accident; no figure of such a victim means anything.
    """

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim with a broken answer."""
        return _NotANumber(victim)


class _NotANumber(nn.Module):
    def __init__(self, victim: nn.Module) -> None:
        super().__init__()
        self.victim = victim

    def forward(self, batch: Batch) -> Any:
        def broken(value: Any) -> Any:
            return value * torch.nan if isinstance(value, Tensor) and value.is_floating_point() else value

        return tree_map(broken, self.victim(batch))


def register(registry: Registry) -> None:
    """Name the canaries; they serve every domain with continuous inputs."""
    registry.defense("canary-quantised", Quantised)
    registry.defense("canary-saturated", Saturated)
    registry.defense("canary-rippled", Rippled)
    registry.defense("canary-nan", NotANumber)
