"""A victim's weights before a plugin got hold of it, and as they were again afterwards."""

import torch
from torch import Tensor, nn


def weights_of(victim: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.detach().clone() for name, value in victim.state_dict().items()}


def restore_weights(victim: nn.Module, saved: dict[str, Tensor]) -> bool:
    """Put the weights back as they were; True if any had changed, by whatever way."""
    changed = False
    with torch.no_grad():
        for name, value in victim.state_dict().items():
            same = value.shape == saved[name].shape and torch.equal(
                value.nan_to_num(), saved[name].nan_to_num()
            )
            if not same:
                changed = True
                value.copy_(saved[name])
    return changed
