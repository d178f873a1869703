"""A victim that works off the rows of a call in slices: restarts and objectives of an example need not fit at once.

Rows are independent of each other by contract, so the answers are the same up to rounding. Where gradients flow, a
slice keeps its inputs only and is computed again on the way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

from robeval.arrays import Batch
from robeval.errors import PluginError
from robeval.seeding import Noise


def can_be_sliced(victims: Sequence[nn.Module]) -> bool:
    """Not where a victim draws noise: its draws are told apart by the copies of an example in one call."""
    return not any(isinstance(module, Noise) for victim in victims for module in victim.modules())


@contextmanager
def sliced(victims: Sequence[nn.Module], rows: int) -> Iterator[None]:
    """Inside, each victim is asked about at most `rows` rows at a time, whoever calls it with more."""
    with ExitStack() as stack:
        for victim in {id(victim): victim for victim in victims}.values():
            stack.enter_context(_sliced(victim, rows))
        yield


@contextmanager
def _sliced(victim: nn.Module, rows: int) -> Iterator[None]:
    whole = victim.forward

    def forward(batch: Any, *more: Any) -> Any:
        if not isinstance(batch, Batch) or len(batch) <= rows or more:
            return whole(batch, *more)
        starts = range(0, len(batch), rows)
        parts = [batch.select(slice(start, start + rows)) for start in starts]
        return joined([_answer(whole, part) for part in parts], [len(part) for part in parts])

    victim.forward = forward
    try:
        yield
    finally:
        del victim.forward


def _answer(whole: Any, part: Batch) -> Any:
    if not torch.is_grad_enabled() or not any(value.requires_grad for value in part.tensors().values()):
        return whole(part)
    return checkpoint(partial(_asked, whole), part, use_reentrant=False)


def _asked(whole: Any, part: Batch) -> Any:
    # On the way back too: a cuDNN RNN refuses to go backward in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False):
        return whole(part)


def joined(answers: Sequence[Any], counts: Sequence[int]) -> Any:
    """The answers about `counts` rows each as one answer. Raises PluginError for one that is not made of rows."""
    flat = [tree_flatten(answer) for answer in answers]
    leaves = [_joined(values, counts) for values in zip(*(values for values, _ in flat), strict=True)]
    return tree_unflatten(leaves, flat[0][1])


def _joined(values: Sequence[Any], counts: Sequence[int]) -> Any:
    first = values[0]
    if isinstance(first, Batch):
        return type(first).join(values)
    by_row = all(
        isinstance(v, Tensor) and v.dim() and len(v) == n for v, n in zip(values, counts, strict=True)
    )
    if by_row:
        return torch.cat(list(values))
    if not isinstance(first, Tensor) and all(value == first for value in values):
        return first
    raise PluginError(
        f"an answer that holds a {type(first).__name__} without a row for each row asked cannot be cut"
    )
