"""What an attacker does about a defense that only hides its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from robeval.arrays import Batch, per_example, straight_through
from robeval.plugins.contracts import Domain
from robeval.plugins.freezing import under_attack

COUNTER_DRAWS = 16
"""Draws of a random defense that the counter-measure averages over."""
PROBED = 16
"""Examples that the gradient is followed through."""
LOST = 1e-6
"""A stage that passes on less than this share of the slope has lost it."""


@dataclass(frozen=True)
class Probe:
    """How the victim's gradient fares on its way back to the input."""

    lost_at: str | None
    """The innermost module that gets a slope and passes none on; "" is the whole victim; None: nowhere."""
    norm: float
    """Median Euclidean norm of the gradient by the input."""
    agreement: float
    """Median cosine between the gradients of two draws of the victim's noise; 1 for a victim without."""
    flat_share: float
    """Share of the examples without any slope at the input."""


class StraightThrough(nn.Module):
    """The defended victim's answers, with a gradient that ignores what the lossy stage does.

    Where the stage keeps the form of what passes through it, its derivative is taken for the identity. Otherwise
    the gradient is that of the victim without its defense at inference, as long as both answer in one form.

    Source: backward pass differentiable approximation, Athalye et al., arXiv:1802.00420.
    """

    def __init__(self, defended: nn.Module, soft: nn.Module, lost_at: str | None) -> None:
        super().__init__()
        self.defended, self.soft = defended, soft
        self.stage = dict(defended.named_modules()).get(lost_at or "") if lost_at else None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("soft"), name)

    def forward(self, batch: Batch) -> Any:
        """The defended answer, differentiable."""
        if self.stage is not None:
            relay = self.stage.register_forward_hook(relayed)
            try:
                return self.defended(batch)
            finally:
                relay.remove()
        passed = self.soft(batch)
        with torch.no_grad():
            exact = self.defended(batch)
        return merged(exact, passed)


def relayed(module: nn.Module, given: tuple[Any, ...], answer: Any) -> Any:
    """A forward hook: the stage's answer, with the gradient of what it was given, where the two have one form."""
    first = given[0] if given else None
    if isinstance(answer, Batch) and isinstance(first, Batch):
        mine, theirs = answer.tensors(), first.tensors()
        changes = {
            name: straight_through(value, theirs[name])
            for name, value in mine.items()
            if value.is_floating_point() and value.shape == theirs[name].shape and theirs[name].requires_grad
        }
        return answer.replace(**changes)
    return merged(answer, first)


def merged(exact: Any, passed: Any) -> Any:
    """`exact` with the gradient of `passed`; `passed` itself where the two differ in form."""
    leaves, form = tree_flatten(exact)
    others, other_form = tree_flatten(passed)
    if form != other_form or any(
        isinstance(a, Tensor) and (not isinstance(b, Tensor) or a.shape != b.shape)
        for a, b in zip(leaves, others, strict=True)
    ):
        return passed
    return tree_unflatten(
        [
            straight_through(a, b) if isinstance(a, Tensor) and a.is_floating_point() else a
            for a, b in zip(leaves, others, strict=True)
        ],
        form,
    )


def locate(defended: nn.Module, soft: nn.Module, domain: Domain[Any], batch: Batch) -> str | None:
    """The module at which the gradient gets lost: see `Probe.lost_at`."""
    return probe(defended, domain, batch).lost_at


def probe(victim: nn.Module, domain: Domain[Any], batch: Batch, draws: int = 1) -> Probe:
    """Follow the gradient of the victim's answer back to the input, through every module.

    Gradients are averaged over `draws` of the victim's noise, as an attacker would. Needs a domain with continuous
    inputs. Modules that are called by other ways than their forward are not seen.
    """
    with under_attack(victim):
        slopes, lost_at = followed(victim, domain, batch, watch=True)
        more = [followed(victim, domain, batch, watch=False)[0] for _ in range(2 * draws - 1)]
    slopes = torch.stack([slopes, *more[: draws - 1]]).mean(dim=0)
    again = torch.stack(more[draws - 1 :]).mean(dim=0)
    norms = slopes.norm(dim=1)
    cosine = torch.nn.functional.cosine_similarity(slopes, again, dim=1)
    alike = torch.where((norms > 0) & (again.norm(dim=1) > 0), cosine, torch.ones_like(cosine))
    return Probe(
        lost_at=lost_at,
        norm=float(norms.median()),
        agreement=float(alike.median()),
        flat_share=float((norms == 0).double().mean()),
    )


def followed(
    victim: nn.Module, domain: Domain[Any], batch: Batch, *, watch: bool
) -> tuple[Tensor, str | None]:
    """The slope at the input [batch, features], and where it got lost."""
    from robeval.seeding import Noise

    for module in victim.modules():
        if isinstance(module, Noise):
            module.round += 1
    live = {name: batch.tensors()[name].detach().clone().requires_grad_() for name in domain.continuous}
    passed: list[tuple[str, list[Tensor], list[Tensor]]] = []
    hooks = []
    for name, module in victim.named_modules() if watch else ():

        def remember(_: nn.Module, given: Any, answer: Any, name: str = name) -> None:
            passed.append((name, list(tracked(given)), list(tracked(answer))))

        hooks.append(module.register_forward_hook(remember))
    try:
        answer = domain.answer(victim(batch.replace(**live)))
    finally:
        for hook in hooks:
            hook.remove()
    # A fixed random mix of the answer's parts: a plain sum can cancel (probabilities always add up to 1).
    mix = torch.linspace(1.0, 2.0, answer[0].numel(), device=answer.device, dtype=answer.dtype)
    value = (per_example(answer) * mix).sum()
    inputs = list(live.values())
    if not value.requires_grad:
        # Cut before any module could be followed: only the victim as a whole can be named.
        return torch.zeros(len(batch), 1), ""
    slopes = slope_of(value, inputs)
    flat = torch.cat([per_example(slope.double()) for slope in slopes], dim=1)
    return flat, lost_module(value, passed) if watch else None


def lost_module(value: Tensor, passed: list[tuple[str, list[Tensor], list[Tensor]]]) -> str | None:
    """The innermost module whose output gets a slope while its inputs get (almost) none."""
    losers: list[str] = []
    for name, given, answered in passed:
        coming, going = (usual_norm(slope_of(value, part)) if part else 0.0 for part in (answered, given))
        if coming > 0 and going < LOST * coming:
            losers.append(name)
    # What a part loses may have another way round: it counts only where the whole loses its slope.
    return max(losers, key=lambda name: (name.count(".") + bool(name), name)) if "" in losers else None


def usual_norm(slopes: list[Tensor]) -> float:
    """The median over rows of the slope's norm: a few steep examples must not hide many flat ones."""
    return sum(float(per_example(slope).norm(dim=1).median()) for slope in slopes if slope.dim())


def slope_of(value: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """The gradient of `value` by each tensor; zero where it does not depend on it."""
    found = torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if slope is None else slope for t, slope in zip(tensors, found, strict=True)]


def tracked(value: Any) -> Iterator[Tensor]:
    """Every floating tensor inside that is part of the graph."""
    for leaf in tree_flatten(value)[0]:
        if isinstance(leaf, Batch):
            yield from (t for t in leaf.tensors().values() if t.requires_grad)
        elif isinstance(leaf, Tensor) and leaf.requires_grad:
            yield leaf
