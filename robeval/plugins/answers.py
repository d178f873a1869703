"""What becomes of a victim's answer, of whatever form, before an attacker gets it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from robeval.arrays import Batch


def mean_of(answers: Sequence[Any]) -> Any:
    """The mean of several answers of one form, tensor by tensor; of whole numbers the first."""
    if len(answers) == 1:
        return answers[0]

    def mean(*values: Any) -> Any:
        is_number = isinstance(values[0], Tensor) and values[0].is_floating_point()
        return torch.stack(values).mean(dim=0) if is_number else values[0]

    return tree_map(mean, *answers)


def attached(output: Any, batch: Batch) -> Any:
    """The output, with a zero gradient where the victim cut the graph: the gradient check sees it."""
    live = [value for value in batch.tensors().values() if value.requires_grad]
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    if not live or not torch.is_grad_enabled() or any(leaf.requires_grad for leaf in leaves):
        return output
    anchor = torch.stack([(value * 0).nan_to_num().sum() for value in live]).sum()

    def attach(value: Any) -> Any:
        is_number = isinstance(value, Tensor) and value.is_floating_point()
        return value + anchor.to(value.dtype) if is_number else value

    return tree_map(attach, output)
