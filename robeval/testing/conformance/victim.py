"""What a victim promises."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from robeval.engine.train import private_randomness
from robeval.plugins.victim import Victim
from robeval.plugins.weights import load_weights
from robeval.seeding import Seed
from robeval.testing.conformance.bench import (
    Bench,
    alike,
    answer_of,
    clone,
    differing,
    double,
    fitting,
    told,
)
from robeval.testing.conformance.check import NotApplicable, check, expect


def fresh(bench: Bench) -> Victim:
    """An untrained victim, its weights from one seed."""
    with private_randomness(Seed(0)):
        made: Victim = bench.make()
    return made.eval()


@check("victim")
def answers(bench: Bench) -> None:
    """It answers every example with finite numbers, the same when asked twice, and writes into none."""
    victim, given = fresh(bench), clone(bench.examples)
    one, again = (answer_of(bench, victim, given, lent=True) for _ in range(2))
    expect(
        one.shape[0] == len(given),
        f"it gives {one.shape[0]} answers to {len(given)} examples",
        "forward(batch) answers row by row",
    )
    expect(bool(one.isfinite().all()), "it answers NaN or infinity", "Look for a division by zero")
    expect(
        bool(alike(one, again).all()),
        "it answers differently when asked again",
        "Randomness at inference belongs to a defense, through robeval.Noise",
    )
    changed = differing(given, bench.examples)
    expect(not changed, f"it wrote into {told(changed)}", "Work on a clone of the tensors")


@check("victim")
def victim_batch_independent(bench: Bench) -> None:
    """In evaluation mode an example's answer does not depend on its neighbours."""
    victim, examples = fresh(bench).double(), double(bench.examples)
    together = fitting(answer_of, bench, victim, examples)
    alone = torch.cat([answer_of(bench, victim, examples.select([n])) for n in range(len(examples))])
    bad = ~alike(together, alone)
    expect(
        not bool(bad.any()),
        f"{int(bad.sum())} of {len(bad)} examples are answered otherwise when they are asked alone",
        "Use no batch statistics in evaluation mode; mask padding that a larger neighbour brings",
    )


@check("victim")
def weights_seeded(bench: Bench) -> None:
    """Its first weights come from torch's generator alone, and survive being written and read."""
    one, other = fresh(bench), fresh(bench)
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    changed = [name for (name, a), b in pairs if not torch.equal(a.nan_to_num(), b.nan_to_num())]
    expect(
        not changed,
        f"'{changed[0] if changed else ''}' differs between two victims of one seed",
        "Draw first weights from torch, without a generator of your own",
    )
    if not one.state_dict():
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file({name: value.contiguous().clone() for name, value in one.state_dict().items()}, path)
        load_weights(other, path)
    same = alike(answer_of(bench, one, bench.examples), answer_of(bench, other, bench.examples))
    expect(
        bool(same.all()), "it answers otherwise after its weights were read back", "Keep all state in buffers"
    )


@check("victim")
def trainable(bench: Bench) -> None:
    """With training steps, its loss is one finite number per example, and a step moves its weights."""
    victim = copy.deepcopy(fresh(bench)).train()
    if victim.steps <= 0:
        raise NotApplicable("it has nothing to train")
    batch = bench.training_data().split("train").select(slice(0, 8))
    loss = victim.loss(batch)
    expect(
        loss.shape == (len(batch),),
        f"its loss has shape {tuple(loss.shape)} for {len(batch)} examples",
        "Give one value per example; defenses and the trainer take the mean",
    )
    expect(bool(loss.isfinite().all()), "its loss is NaN or infinite", "Look for a logarithm of zero")
    loss.mean().backward()  # type: ignore[no-untyped-call]
    moved = [p for p in victim.parameters() if p.grad is not None and bool((p.grad != 0).any())]
    expect(bool(moved), "its loss moves no weight", "Compute it from the victim's own answer")
    expect(
        victim.configure_optimizers() is not None,
        "it names no optimiser",
        "Keep the inherited configure_optimizers, or return one",
    )
