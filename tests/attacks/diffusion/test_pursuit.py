"""The descent that the gradient attacks share."""

from typing import Any

import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.diffusion.adam import Adam
from robeval_attacks.diffusion.aim import Aim
from robeval_attacks.diffusion.places import places
from robeval_attacks.diffusion.pursuit import denoising_loss
from robeval_attacks.diffusion.simplex import on_simplex
from robeval_attacks.diffusion.unlearn_diff import Relaxed
from robeval_attacks.diffusion.wording import Vocabulary


def white_box(victim: Any, prompts: PromptBatch) -> View[PromptBatch]:
    """A view with weights and gradients."""
    return View(victim, Diffusion(), ThreatModel("white-box", Budget("tokens", "tokens", 3.0)), prompts.ids)


def relaxed(victim: Any, prompts: PromptBatch, count: int = 2) -> Relaxed:
    """Uniform words in front of prompts."""
    vocabulary = Vocabulary.of(victim, prompts.tokenizer)
    weight = torch.full((len(prompts), count, len(vocabulary.ids)), 1 / len(vocabulary.ids))
    free = places(prompts.tokenizer, prompts.tokens, "prefix", count)
    return Relaxed(victim, prompts, free, vocabulary, weight, Adam.of(weight, 0.01, 0.1, False))


def test_the_loss_is_the_error_of_the_noise(untrained: Small, real_prompts: PromptBatch) -> None:
    """Computed from the network directly, prompt by prompt, it is the same; and its slope is that of one prompt."""
    words = relaxed(untrained, real_prompts)
    draw = Seed(0).draws(real_prompts.ids)
    asked = Aim(untrained, untrained.to_latents(real_prompts.image)).question(0.5, draw)
    with under_attack(untrained):
        slots = words.slots(draw).requires_grad_()
        loss = denoising_loss(white_box(untrained, real_prompts), real_prompts, asked, words.embedded(slots))
        (slope,) = torch.autograd.grad(loss.sum(), slots)
        for row in range(len(real_prompts)):
            own = slots[row : row + 1].detach().requires_grad_()
            start, rest = (
                untrained.embed(real_prompts.tokens[row : row + 1, :1]),
                real_prompts.tokens[row : row + 1, 1:14],
            )
            hidden = untrained.encode(torch.cat([start, own, untrained.embed(rest)], dim=1))
            part = slice(row, row + 1)
            found = untrained.unet(
                asked.latents[part], asked.timestep[part], encoder_hidden_states=hidden
            ).sample
            direct = ((found - asked.noise[part]) ** 2).mean()
            torch.testing.assert_close(loss[row], direct)
            (alone,) = torch.autograd.grad(direct, own)
            torch.testing.assert_close(slope[row], alone[0], atol=1e-7, rtol=1e-3)


def test_the_slope_passes_straight_through_the_draw(planted: Any, prompts: PromptBatch) -> None:
    """A step is Adam's by the slope along every token, cut at ±1, put back onto the simplex."""
    table = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    vocabulary = Vocabulary(torch.tensor([5, 6, 7]), table)
    weight = torch.tensor([[[0.2, 0.3, 0.5]]])
    one = prompts.select([0])
    free = places(one.tokenizer, one.tokens, "prefix", 1)
    words = Relaxed(planted, one, free, vocabulary, weight, Adam.of(weight, 0.1, 0.1, False))
    slope = torch.tensor([[[0.7, -0.1]]])
    along = torch.tensor([[[0.7, -0.2, -1.0]]])  # -2.1 is cut
    _, stepped = Adam.of(weight, 0.1, 0.1, False).step(weight, along)
    torch.testing.assert_close(words.moved(slope).weight, on_simplex(stepped))
    # The first step of Adam is its rate towards the sign: (0.1, 0.4, 0.6), less 0.1 / 3 each.
    torch.testing.assert_close(
        words.moved(slope).weight, torch.tensor([[[0.0667, 0.3667, 0.5667]]]), atol=1e-4, rtol=0
    )


def test_the_loss_falls(untrained: Small, real_prompts: PromptBatch) -> None:
    """Against one fixed question, the words that forty steps make probable are better than those they began with."""
    prompts = real_prompts.select([0, 3, 6])
    asked = Aim(untrained, untrained.to_latents(prompts.image)).question(0.8, Seed(0).draws(prompts.ids))
    draw = Seed(1).draws(prompts.ids)
    words, seen = relaxed(untrained, prompts, 1), []
    view = white_box(untrained, prompts)
    with under_attack(untrained):
        for _ in range(40):
            slots = words.slots(draw).detach().requires_grad_()
            loss = denoising_loss(view, prompts, asked, words.embedded(slots))
            (slope,) = torch.autograd.grad(loss.sum(), slots)
            words = words.moved(1e4 * slope)
            seen.append(loss.detach())
    first, last = torch.stack(seen[:5]).mean(dim=0), torch.stack(seen[-5:]).mean(dim=0)
    assert float((last < first).float().mean()) >= 0.6
    assert float(last.mean()) < float(first.mean())
