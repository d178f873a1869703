"""The victim while it is attacked: nothing of it learns."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from robeval.seeding import Noise


@contextmanager
def under_attack(victim: nn.Module) -> Iterator[None]:
    """Frozen weights, gradients possible; everything as before afterwards.

    Rounds of randomised defenses return to the one that the evaluation scores.
    """
    frozen = [parameter for parameter in victim.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    _set_round(victim, 1)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        _set_round(victim, 0)


def _set_round(victim: nn.Module, number: int) -> None:
    for module in victim.modules():
        if isinstance(module, Noise):
            module.round = number
