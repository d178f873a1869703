"""Relaxed tokens: rows of probabilities over a vocabulary."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.seeding import Draws


def on_simplex(
    value: Float[Tensor, "rows slots vocabulary"],
) -> Float[Tensor, "rows slots vocabulary"]:
    """The nearest point (Euclidean) of the probability simplex, for the last axis.

    Source: the sorting algorithm of Held, Wolfe and Crowder (1974), in Duchi et al., ICML 2008, figure 1.
    """
    falling = value.sort(dim=-1, descending=True).values
    excess = falling.cumsum(dim=-1) - 1
    place = torch.arange(1, value.shape[-1] + 1, device=value.device, dtype=value.dtype)
    count = (falling * place > excess).sum(dim=-1, keepdim=True)
    level = excess.gather(-1, count - 1) / count
    return (value - level).clamp_min(0)


def sampled(weight: Float[Tensor, "rows slots vocabulary"], draw: Draws) -> Int64[Tensor, "rows slots"]:
    """One index per slot, drawn by its weights."""
    edges = weight.double().cumsum(dim=-1)
    level = draw.uniform(weight.shape[1], dtype=torch.float64)[..., None] * edges[..., -1:]
    return (level >= edges).sum(dim=-1).clamp_max(weight.shape[-1] - 1)
