"""What a defense promises."""

from __future__ import annotations

import copy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from robeval.engine.victim_weights import restore_weights, weights_of
from robeval.plugins.contracts import Certifies, Defense
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval.testing.conformance.bench import (
    Bench,
    alike,
    answer_of,
    clone,
    differing,
    double,
    fitting,
    global_randomness,
    told,
)
from robeval.testing.conformance.check import NotApplicable, check, expect


def hardened(bench: Bench, victim: nn.Module | None = None) -> nn.Module:
    """The defense's hardened victim, made anew from one seed."""
    plugin: Defense = bench.needs("harden")
    with global_randomness(0):
        made = plugin.harden(victim or bench.victim(), bench.training_data(), Seed(0).child("conformance"))
    expect(
        isinstance(made, nn.Module),
        f"harden returned {type(made).__name__}",
        "Return a torch module with forward(batch)",
    )
    return made.eval()


@check("defense")
def victim_kept(bench: Bench) -> None:
    """`harden` leaves the weights of the victim that it is given as they were: other cells use them too."""
    victim = bench.victim()
    before = weights_of(victim)
    hardened(bench, victim)
    expect(
        not restore_weights(victim, before),
        "harden changed the weights of the victim that it was given",
        "Work on copy.deepcopy(victim)",
    )


@check("defense")
def harden_deterministic(bench: Bench) -> None:
    """Hardened twice from one seed, the victim answers the same, and twice the same when asked twice."""
    one, other = hardened(bench), hardened(bench)
    answer = answer_of(bench, one, bench.examples)
    for advice, again in (
        ("Draw from the given `seed` in harden", answer_of(bench, other, bench.examples)),
        ("Draw noise at inference from robeval.Noise(seed)", answer_of(bench, one, bench.examples)),
    ):
        bad = ~alike(answer, again)
        expect(not bool(bad.any()), f"the answers to {int(bad.sum())} of {len(bad)} examples differ", advice)


@check("defense")
def harden_batch_independent(bench: Bench) -> None:
    """The hardened victim answers for each example on its own, and with finite numbers."""
    module = hardened(bench).double()
    examples = double(bench.examples)
    together = fitting(answer_of, bench, module, examples)
    alone = torch.cat([answer_of(bench, module, examples.select([n])) for n in range(len(examples))])
    expect(
        bool(together.isfinite().all()),
        "the hardened victim answers NaN or infinity on clean examples",
        "Look for a division by zero or a logarithm of zero",
    )
    bad = ~alike(together, alone)
    expect(
        not bool(bad.any()),
        f"{int(bad.sum())} of {len(bad)} examples are answered otherwise when they are asked alone",
        "Take no statistics over the batch axis; make noise per id, with robeval.Noise",
    )


@check("defense")
def harden_reads_only(bench: Bench) -> None:
    """The hardened victim does not write into the examples that it is asked about."""
    given = clone(bench.examples)
    answer_of(bench, hardened(bench), given, lent=True)
    changed = differing(given, bench.examples)
    expect(not changed, f"it wrote into {told(changed)}", "Work on a clone of the tensors")


@check("defense")
def gradient_as_declared(bench: Bench) -> None:
    """Unless it declares "none", an attacker gets a finite gradient through it that is not zero."""
    declared = bench.plugin.gradient
    if declared == "none":
        raise NotApplicable("it declares that it has no gradient")
    slopes, bare = _slopes(bench, hardened(bench)), _slopes(bench, bench.victim())
    if not any(bool((slope != 0).any()) for slope in bare.values()):
        raise NotApplicable("the undefended victim itself has no gradient by its inputs")
    finite = all(bool(slopes[name].isfinite().all()) for name in slopes if bool(bare[name].isfinite().all()))
    expect(finite, "the gradient through it is NaN or infinite", "Look for a square root or norm at zero")
    flat = [name for name in slopes if bool((bare[name] != 0).any()) and not bool((slopes[name] != 0).any())]
    expect(
        len(flat) < len(slopes) or not slopes,
        f"it declares the gradient '{declared}', but the gradient by {', '.join(flat)} is zero everywhere",
        "Use robeval.arrays.straight_through(exact, passed) and gradient = 'straight-through', or declare 'none'",
    )


def _slopes(bench: Bench, victim: nn.Module) -> dict[str, Tensor]:
    """The gradient of the summed answer by every continuous field of the examples, as an attacker gets it."""
    names = bench.domain.continuous
    if not names:
        raise NotApplicable(f"inputs of the domain '{bench.domain_name}' are not continuous")
    threat = ThreatModel("white-box", Budget("nothing", "", 0.0))
    view: View[Any] = View(victim, bench.domain, threat, bench.examples.ids)
    inputs = {name: bench.examples.tensors()[name].clone().requires_grad_() for name in names}
    with under_attack(victim):
        answer = bench.domain.answer(view(bench.examples.replace(**inputs)))
        # Weights that tell outputs apart: the sum of probabilities, say, is constant.
        weight = torch.linspace(1.0, 2.0, answer[0].numel()).view_as(answer[0]).to(answer)
        found = torch.autograd.grad((answer * weight).sum(), list(inputs.values()), allow_unused=True)
    view.close()
    zeros = (torch.zeros_like(value) for value in inputs.values())
    return {n: g if g is not None else z for n, g, z in zip(inputs, found, zeros, strict=True)}


@check("defense")
def certificate_sound(bench: Bench) -> None:
    """What it proves bounds a metric of the domain, with one value per example, at some radius."""
    if not bench.plugin.certifies:
        raise NotApplicable("it proves nothing")
    module = hardened(bench)
    expect(
        isinstance(module, Certifies),
        "it declares certifies = True, but the hardened victim has no certify, radius and radius_budget",
        "See robeval.plugins.contracts.Certifies",
    )
    assert isinstance(module, Certifies)
    with torch.no_grad():
        bounds = module.certify(bench.examples)
    known = {metric.column for metric in bench.domain.metrics}
    expect(
        bool(set(bounds) & known),
        f"it bounds {', '.join(bounds)}, none of them a metric",
        f"The domain knows {', '.join(sorted(known))}",
    )
    for name, value in bounds.items():
        expect(
            value.shape == (len(bench.examples),),
            f"the bound of '{name}' has shape {tuple(value.shape)} for {len(bench.examples)} examples",
            "Give one value per example",
        )
    expect(module.radius >= 0, f"its radius is {module.radius}", "Give a radius of 0 or more")


@check("defense")
def training_works(bench: Bench) -> None:
    """`robustify` gives a module whose loss on a batch is finite and moves the victim's weights."""
    plugin: Defense = bench.needs("robustify")
    victim = bench.victim().train()
    module = plugin.robustify(victim, bench.training_data(), Seed(0))
    expect(
        isinstance(module, pl.LightningModule),
        f"robustify returned {type(module).__name__}",
        "Return a robeval.plugins.victim.RobustTraining around the victim",
    )
    data = copy.copy(bench.training_data())
    data.train_batch_size = min(data.train_batch_size, 8)
    with global_randomness(0):
        loss: Any = module.training_step(next(iter(data.train_dataloader())), 0)
        expect(
            bool(torch.isfinite(loss)),
            f"its first loss is {float(loss.detach())}",
            "Look for a logarithm of zero",
        )
        loss.backward()
    moved = [p for p in victim.parameters() if p.grad is not None and bool((p.grad != 0).any())]
    expect(
        bool(moved),
        "its loss moves no weight of the victim",
        "Train the victim that robustify is given (it is what is judged afterwards), not a copy",
    )


@check("defense")
def sanitize_careful(bench: Bench) -> None:
    """`sanitize` gives the same data twice from one seed and does not write into what it is given."""
    plugin: Defense = bench.needs("sanitize")
    data = bench.training_data()
    before = clone(data.split("train"))
    with global_randomness(0):
        one, other = (plugin.sanitize(data, Seed(0)).split("train") for _ in range(2))
    expect(
        before.identical(data.split("train")),
        "it wrote into the training data that it was given",
        "Return data.with_train(batch.select(...))",
    )
    expect(
        len(one) == len(other) and one.identical(other),
        "two cleanings from one seed differ",
        "Draw from the given `seed` only",
    )
