"""The descent that the gradient attacks share: words are moved until the network answers as it is wanted to."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.diffusion.batch import Denoising, PromptBatch
from robeval.domains.diffusion.victims.base import generator
from robeval.plugins.contracts import Detects
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.aim import Aim, Question
from robeval_attacks.diffusion.catch import Catch

DISCRETION = 1.0
"""The price of an alarm, in squared noise. It steers the search only: what is kept is what the judge sees."""


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

    def spoken(self, view: View[Any], is_wary: bool) -> PromptBatch:
        """The prompts that the words stand for now; with `is_wary`, such that the victim's detectors are quiet."""
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


def reads_alarms(view: View[Any], prompts: PromptBatch) -> bool:
    """Whether the victim has detectors, and all of them judge by the prompt alone.

    Detectors that draw a picture first would cost a drawing per step; what they refuse is seen when pictures are
    judged.
    """
    if not len(prompts) or not any(isinstance(module, Detects) for module in view.module.modules()):
        return False
    drawn: list[int] = []
    model = generator(view.module)
    hook = model.register_forward_pre_hook(lambda *_: drawn.append(1))
    try:
        with torch.no_grad():
            view.alarm(prompts.select([0]))
    finally:
        hook.remove()
    return not drawn


def pursue(
    catch: Catch, words: Words, aim: Aim, draw: Draws, restarts: int, iterations: int, rounds: int
) -> None:
    """Take `iterations` steps in `rounds` rounds; after each the pictures are looked at and caught examples leave.

    `words`, `aim` and `draw` have `restarts` adjacent rows for every open example of `catch`.
    """
    rounds = min(rounds, iterations)
    is_wary = reads_alarms(catch.view, words.prompts)
    for number in range(rounds):
        if not len(draw):
            return
        for _ in range(iterations * number // rounds, iterations * (number + 1) // rounds):
            question = aim.question((number + 0.5) / rounds, draw)
            slots = words.slots(draw).detach().requires_grad_()
            loss = denoising_loss(catch.view, words.prompts, question, words.embedded(slots))
            if is_wary:
                # Slots in front stand where a prefix stands; detectors read soft slots like words.
                loss = loss + DISCRETION * catch.view.alarm(words.prompts.replace(soft=slots))
            (slope,) = torch.autograd.grad(loss.sum(), slots)
            words = words.moved(slope.nan_to_num())
        left = catch.offer(words.spoken(catch.view, is_wary)).repeat_interleave(restarts).nonzero().squeeze(1)
        words, aim, draw = words.select(left), aim.select(left), draw.select(left)
