"""Sums of which a term is dear: it is asked for only where it can change which sums are the largest."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Asked = Callable[[Int64[Tensor, " asked"]], Float[Tensor, " asked"]]
"""The term of options, given by their places in the flattened table."""

WIDER = 4
"""Each round asks for this many times as many options as the one before."""


def narrowed(
    bare: Float[Tensor, "batch options"], term: Asked, highest: float, kept: int, slack: float = 0.0
) -> Float[Tensor, "batch options"]:
    """``bare + term``, exact for every option that can be among the `kept` largest of its row; -inf for the rest.

    The term is at most `highest`, so a sum is out when even that leaves it below the last one kept. With `slack`,
    options also stay whose sum is at most that far below: what is added later may move them by as much.
    """
    exact = torch.full_like(bare, -torch.inf)
    kept = min(kept, bare.shape[1])
    if not bare.numel() or not kept:
        return exact
    bound = bare + highest
    open_ = bare.isfinite()
    width = kept
    while bool(open_.any()):
        last_kept = exact.topk(kept, dim=1).values[:, -1:]
        open_ &= bound + slack >= last_kept
        most = torch.where(open_, bound, -torch.inf).topk(min(width, bare.shape[1]), dim=1)
        now = torch.zeros_like(open_).scatter_(1, most.indices, True) & open_
        places = now.flatten().nonzero().squeeze(1)
        exact.view(-1)[places] = bare.flatten()[places] + term(places)
        open_ &= ~now
        width *= WIDER
    return exact
