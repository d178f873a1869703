"""The weights of a victim are its own again when a plugin had its hands on them."""

import torch
from torch import nn

from robeval.engine.victim_weights import restore_weights, weights_of


def test_changed_weights_are_put_back() -> None:
    """Whatever way an attack writes into the victim, also past autograd, it is noticed and undone."""
    victim = nn.Linear(2, 1)
    before = weights_of(victim)
    assert not restore_weights(victim, before)
    victim.weight.data = victim.weight.data + 1
    assert restore_weights(victim, before)
    assert torch.equal(victim.weight, before["weight"])
