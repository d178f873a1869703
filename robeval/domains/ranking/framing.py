"""Query and passage between special tokens, as an encoder wants them."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.ranking.tokens import Template, Tokens


class Framed(NamedTuple):
    """Encoder inputs, padding at the end: vectors [rows, length, hidden], mask and segments int64 [rows, length]."""

    vectors: Tensor
    mask: Tensor
    segments: Tensor


def framed_pair(
    template: Template,
    table: Float[Tensor, "vocabulary hidden"],
    query: Tokens,
    vectors: Float[Tensor, "rows length hidden"],
    mask: Bool[Tensor, "rows length"],
) -> Framed:
    """``[CLS] query [SEP] passage [SEP]`` with the passage given as vectors."""
    rows, device = len(vectors), vectors.device
    special = [
        torch.tensor(ids, device=device) for ids in (template.before, template.between, template.after)
    ]
    fixed = [table[ids].expand(rows, -1, -1) for ids in special]
    parts = [fixed[0], table[query.ids], fixed[1], vectors, fixed[2]]
    masks = [_always(fixed[0]), query.mask, _always(fixed[1]), mask, _always(fixed[2])]
    names = [
        template.segments[0],
        [template.query_segment] * query.ids.shape[1],
        template.segments[1],
        [template.passage_segment] * vectors.shape[1],
        template.segments[2],
    ]
    segments = torch.tensor([name for part in names for name in part], dtype=torch.long, device=device)
    return _packed(torch.cat(parts, dim=1), torch.cat(masks, dim=1), segments.expand(rows, -1))


def framed_single(
    template: Template,
    table: Float[Tensor, "vocabulary hidden"],
    vectors: Float[Tensor, "rows length hidden"],
    mask: Bool[Tensor, "rows length"],
) -> Framed:
    """``[CLS] text [SEP]`` with the text given as vectors."""
    rows, device = len(vectors), vectors.device
    ends = [table[torch.tensor(ids, device=device)] for ids in (template.before, template.after)]
    first, last = (end.expand(rows, -1, -1) for end in ends)
    joined = torch.cat([first, vectors, last], dim=1)
    masks = torch.cat([_always(first), mask, _always(last)], dim=1)
    return _packed(joined, masks, torch.zeros_like(masks, dtype=torch.long))


def _always(vectors: Tensor) -> Tensor:
    return torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)


def _packed(vectors: Tensor, mask: Tensor, segments: Tensor) -> Framed:
    """Padding moved to the end of every row, and what is padding in all rows cut off.

    Encoders count positions from the first token on, so holes between query and passage would shift them.
    """
    order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
    longest = int(mask.sum(dim=1).max()) if len(mask) else 0
    order = order[:, :longest]
    index = order.unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
    return Framed(vectors.gather(1, index), mask.gather(1, order).long(), segments.gather(1, order))
