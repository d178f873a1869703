"""How much two rankings of the same passages agree."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def overlap_at(
    first: Int64[Tensor, "lists first_depth"], second: Int64[Tensor, "lists second_depth"], k: int
) -> Float[Tensor, " lists"]:
    """Inter@k: the share of one top k that is in the other. -1 is padding and matches nothing."""
    a, b = first[:, :k], second[:, :k]
    both = (a.unsqueeze(2) == b.unsqueeze(1)) & (a != -1).unsqueeze(2)
    return both.any(dim=2).float().sum(dim=1) / k


def rbo(
    first: Int64[Tensor, "lists depth"],
    second: Int64[Tensor, "lists depth"],
    p: float = 0.7,
    extended: bool = True,
) -> Float[Tensor, " lists"]:
    """Rank-biased overlap: (1 - p) times the sum of p^(d-1) A_d, A_d the agreement of the top d.

    `extended` adds A_D p^D, what the agreement at the last depth D would give from there on; without it, two equal
    lists of length 10 have .9718 and not 1. A list ends at its first -1; the shorter of both counts.
    Source: Webber, Moffat, Zobel, TOIS 28(4), 2010.
    """
    depth = torch.arange(1, first.shape[1] + 1, device=first.device)
    same = (first.unsqueeze(2) == second.unsqueeze(1)) & (first != -1).unsqueeze(2)
    # The pair (i, j) is in both tops from depth max(i, j) on.
    place = torch.maximum(depth.unsqueeze(1), depth.unsqueeze(0)) - 1
    joined = torch.zeros_like(first, dtype=torch.double)
    joined.scatter_add_(1, place.flatten().expand(len(first), -1), same.flatten(1).double())
    agreement = joined.cumsum(dim=1) / depth
    inside = _filled(first) & _filled(second)
    weight = (1 - p) * p ** (depth - 1.0).double()
    total = (agreement * weight * inside).sum(dim=1)
    if not extended:
        return total.float()
    count = inside.sum(dim=1, keepdim=True)
    last = agreement.gather(1, (count - 1).clamp_min(0)).squeeze(1)
    tail = torch.where(count.squeeze(1) > 0, last * p ** count.squeeze(1).double(), 0.0)
    return (total + tail).float()


def _filled(lists: Tensor) -> Bool[Tensor, "lists depth"]:
    """Up to the first padding."""
    return (lists != -1).int().cumprod(dim=1).bool()
