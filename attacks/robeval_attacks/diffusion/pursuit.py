"""The descent that the gradient attacks share: words are moved until the network answers as it is wanted to."""

from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.diffusion.batch import Denoising, PromptBatch
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.aim import Aim, Question
from robeval_attacks.diffusion.catch import Catch

W = TypeVar("W", bound="Words")


@runtime_checkable
class Words(Protocol):
    """What an attacker writes into the free places of prompts, as numbers that can be moved; rows never mix."""

    @property
    def prompts(self) -> PromptBatch:
        """The untouched prompts that the rows belong to."""
        ...

    def slots(self, draw: Draws) -> Float[Tensor, "rows slots features"]:
        """The embeddings that are tried now."""
        ...

    def embedded(self, slots: Float[Tensor, "rows slots features"]) -> Float[Tensor, "rows length features"]:
        """Whole prompts with these embeddings in the free places."""
        ...

    def moved(self, slope: Float[Tensor, "rows slots features"]) -> "Words":
        """After a step against a slope by the embeddings that `slots` gave."""
        ...

    def spoken(self, view: View[Any]) -> PromptBatch:
        """The prompts that the words stand for now."""
        ...

    def select(self, rows: Tensor) -> "Words":
        """Some rows."""
        ...


def denoising_loss(
    view: View[Any],
    prompts: PromptBatch,
    question: Question,
    embedded: Float[Tensor, "rows length features"],
) -> Float[Tensor, " rows"]:
    """The mean squared error of the noise that the victim sees, given these embeddings."""
    found: Tensor = view(Denoising(prompts.ids, question.latents, question.timestep, embedded)).noise
    return (found - question.noise).square().flatten(1).mean(dim=1)


def pursue(
    catch: Catch, words: Words, aim: Aim, draw: Draws, restarts: int, iterations: int, rounds: int
) -> None:
    """Take `iterations` steps in `rounds` rounds; after each the pictures are looked at and caught examples leave.

    `words`, `aim` and `draw` have `restarts` adjacent rows for every open example of `catch`.
    """
    rounds = min(rounds, iterations)
    for number in range(rounds):
        if not len(draw):
            return
        for _ in range(iterations * number // rounds, iterations * (number + 1) // rounds):
            question = aim.question((number + 0.5) / rounds, draw)
            slots = words.slots(draw).detach().requires_grad_()
            loss = denoising_loss(catch.view, words.prompts, question, words.embedded(slots))
            (slope,) = torch.autograd.grad(loss.sum(), slots)
            words = words.moved(slope.nan_to_num())
        left = catch.offer(words.spoken(catch.view)).repeat_interleave(restarts).nonzero().squeeze(1)
        words, aim, draw = words.select(left), aim.select(left), draw.select(left)
