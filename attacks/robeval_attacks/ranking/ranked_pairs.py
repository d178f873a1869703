"""Pseudo-labels from ranked lists: what stands higher is better."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import NOBODY


class Sample(NamedTuple):
    """Some passages of some lists: numbers, 0-based places in the list, and which are there; [lists, drawn] each."""

    passage: Tensor
    place: Tensor
    present: Tensor


def triples_of(length: int, top: int, last: int) -> tuple[int, int]:
    """How many pairs the published labels make of a list: within its head, and of its head with its tail.

    The head are the first `top` passages; each of them is paired with every worse one of the head and with `last` of
    the tail (all of it where it is shorter).
    """
    head = min(top, length)
    return head * (head - 1) // 2, head * min(last, length - head)


def sample(
    order: Int64[Tensor, "lists length"], top: int, heads: int, tails: int, random: torch.Generator
) -> Sample:
    """`heads` passages of the head and `tails` of the tail of every list, drawn without replacement."""
    lot = torch.rand(order.shape, generator=random)
    listed = order != NOBODY
    in_head = torch.arange(order.shape[1]) < top
    parts = []
    for there, count in ((listed & in_head, heads), (listed & ~in_head, tails)):
        parts.append(torch.where(there, lot, -1.0).topk(min(count, order.shape[1]), dim=1))
    place = torch.cat([part.indices for part in parts], dim=1)
    present = torch.cat([part.values >= 0 for part in parts], dim=1)
    return Sample(order.gather(1, place), place, present)


def pair_loss(
    scores: Float[Tensor, "lists drawn"],
    drawn: Sample,
    top: int,
    last: int,
    length: Int64[Tensor, " lists"],
    smoothing: float,
) -> Float[Tensor, ""]:
    """RankNet over all labelled pairs of a sample, each kind of pair weighted as often as the published labels have it.

    A pair's loss is the cross entropy of "the higher one is better" given the difference of the scores, with
    smoothed labels.
    """
    margin = scores.unsqueeze(2) - scores.unsqueeze(1)
    softplus = torch.nn.functional.softplus
    loss = (1 - smoothing / 2) * softplus(-margin) + smoothing / 2 * softplus(margin)
    better = _better(drawn)
    from_head = (drawn.place < top).unsqueeze(1) & better
    across = better & (drawn.place < top).unsqueeze(2) & (drawn.place >= top).unsqueeze(1)
    weights = torch.tensor([triples_of(int(n), top, last) for n in length], dtype=scores.dtype)
    total = sum(
        (_mean(loss, where) * weight).sum()
        for where, weight in zip((from_head, across), weights.unbind(dim=1), strict=True)
    )
    return total / weights.sum().clamp_min(1.0)


def _better(drawn: Sample) -> Bool[Tensor, "lists drawn drawn"]:
    """[list, i, j]: both are there and i stands above j."""
    both = drawn.present.unsqueeze(2) & drawn.present.unsqueeze(1)
    return both & (drawn.place.unsqueeze(2) < drawn.place.unsqueeze(1))


def _mean(values: Tensor, where: Tensor) -> Float[Tensor, " lists"]:
    return (values * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2)).clamp_min(1)
