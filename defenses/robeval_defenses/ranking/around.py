"""What ranking defenses ask of the victim that they are given."""

from torch import nn

from robeval.domains.ranking.ranker import Ranker
from robeval.domains.ranking.victims.base import NeuralVictim
from robeval.errors import PluginError, UsageError


def ranker(victim: nn.Module) -> Ranker:
    """`victim`, if it ranks. Raises PluginError otherwise."""
    if not isinstance(victim, Ranker):
        raise PluginError(
            f"a ranking defense needs a Ranker (a module with text_scores(corpus, queries, texts)), "
            f"but was given {type(victim).__name__}; use a victim of the domain 'ranking'"
        )
    return victim


def trainable(victim: nn.Module) -> NeuralVictim:
    """`victim`, if a defense can train it. Raises UsageError otherwise."""
    if not isinstance(victim, NeuralVictim):
        raise UsageError(
            f"{type(victim).__name__} cannot be trained, so a defense that trains does nothing for it: choose a "
            "neural victim (cross-encoder, bi-encoder), or a defense at inference (a filter, random-masking)"
        )
    return victim
