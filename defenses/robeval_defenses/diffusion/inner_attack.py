"""The attacker inside AdvUnlearn: embeddings before the prompt that bring the original's answer back."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.victims.base import LatentDiffusion
from robeval.seeding import Draws
from robeval_defenses.diffusion.bank import Points


def random_words(model: LatentDiffusion, draw: Draws, count: int) -> Float[Tensor, "rows count features"]:
    """Embeddings of random tokens that a person could write."""
    writable = text_tokens.searchable(model.tokenizer).nonzero().squeeze(1).to(model.alphas.device)
    return model.embed(writable[draw.integers(len(writable), count)]).detach()


def with_prefix(
    model: LatentDiffusion, tokens: Int64[Tensor, "rows length"], prefix: Float[Tensor, "rows count features"]
) -> Float[Tensor, "rows length features"]:
    """Token embeddings of prompts with `prefix` behind the start; the end of the padding falls off."""
    embedded = model.embed(tokens)
    return torch.cat([embedded[:, :1], prefix, embedded[:, 1 : embedded.shape[1] - prefix.shape[1]]], dim=1)


def imitation(
    model: LatentDiffusion, points: Points, prefix: Float[Tensor, "rows count features"]
) -> Float[Tensor, " rows"]:
    """How far the model with the attacked prompts is from the original with the plain ones (P4D's loss)."""
    found = model.predict_noise(
        points.latents, points.timestep, model.encode(with_prefix(model, points.tokens, prefix))
    )
    return (found - points.with_text).square().flatten(1).mean(dim=1)


def attacked_prefix(
    model: LatentDiffusion,
    points: Callable[[], Points],
    start: Float[Tensor, "rows count features"],
    steps: int,
    step: float,
) -> Float[Tensor, "rows count features"]:
    """A prefix per row that lowers `imitation`: one signed step, or `steps` steps of Adam.

    `points` gives new points for the same prompts in every step. Only the prefix gets a gradient, so nothing piles up
    between steps or in the weights.
    """
    prefix = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([prefix], lr=step)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(imitation(model, points(), prefix).sum(), prefix)
        if steps == 1:
            return (prefix - step * slope.sign()).detach()
        prefix.grad = slope
        optimizer.step()
    return prefix.detach()
