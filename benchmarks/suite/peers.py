"""robeval's PGD against those of torchattacks, foolbox and ART: the same model, the same passes, in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Figure, Measured, NotHere, shown
from benchmarks.images.libraries import Task, Way, bare, installed, missing, ours
from benchmarks.images.models import Conv, PatchTransformer, pictures, trained
from benchmarks.turns import in_turns, say

INSTALL = "pip install 'robeval[bench]'; pip install --no-deps torchattacks"
OVERHEAD = 1.1
NEARLY = 0.98
"""The share of the best peer's loss that counts as equal."""


class Victim(NamedTuple):
    """A model, its training, and a radius at which an attack succeeds often and not always."""

    name: str
    make: Callable[[], torch.nn.Module]
    training_steps: int
    radius: float


VICTIMS = (
    Victim("convolutional", Conv, 60, 8 / 255),
    Victim("transformer", PatchTransformer, 120, 8 / 255),
)


class Reached(NamedTuple):
    """What a way's pictures do to the model, over all rounds."""

    loss: float
    fooled: int
    attacked: int


def measure(quick: bool) -> Measured:
    """Both models, every library that is installed."""
    peers = installed()
    if not peers:
        raise NotHere(f"needs torchattacks, foolbox or ART: {INSTALL}")
    torch.set_num_threads(1)
    rows: list[tuple[Figure | str, ...]] = []
    claims: list[Claim] = []
    for victim in VICTIMS:
        more, said = _against(victim, peers, quick)
        rows += more
        claims += said
    absent = f" Not installed: {', '.join(missing())} ({INSTALL})." if missing() else ""
    return Measured(
        columns=("model", "", "CPU per example and step", "overhead", "× robeval's time", "loss", "success"),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=(
            "Loss: mean cross-entropy at the returned pictures. Success: share of the rightly classified pictures "
            f"that are turned, with its 95 % interval. robeval returns the best point of the way.{absent}",
        ),
    )


def _against(
    victim: Victim, peers: dict[str, Callable[[Task], Way]], quick: bool
) -> tuple[list[tuple[Figure | str, ...]], list[Claim]]:
    steps, rounds, count = (2, 2, 16) if quick else (20, 20, 24)
    torch.manual_seed(0)
    say(f"training the {victim.name} model")
    model = trained(victim.make(), 5 if quick else victim.training_steps)
    batch = pictures(count, torch.Generator().manual_seed(5))
    task = Task(model, batch, victim.radius, victim.radius / 4, steps)
    ways = {"robeval": ours(task)} | {name: peer(task) for name, peer in peers.items()}
    returned: dict[str, list[Tensor]] = {name: [] for name in ways}

    def called(name: str, way: Way) -> Callable[[], None]:
        return lambda: returned[name].append(way(len(returned[name])))

    plain = bare(task)
    say("in turns")
    timed = {name: called(name, way) for name, way in ways.items()}
    times = in_turns({"bare passes": lambda: plain(0), **timed}, rounds)
    reached = {name: _reached(task, found[1:]) for name, found in returned.items()}
    unit = 1e3 / (count * steps)
    rows: list[tuple[Figure | str, ...]] = []
    for name, found in times.items():
        each = middle([t * unit for t in found], "ms")
        overhead, beside = ratio(found, times["bare passes"]), ratio(found, times["robeval"])
        shown_ = _shown(reached[name]) if name in reached else ("", "")
        rows.append((victim.name, name, each, overhead, beside, *shown_))
    best = max(reached[name].loss for name in peers)
    equal = Figure(value=reached["robeval"].loss / best, unit="×")
    overhead = ratio(times["robeval"], times["bare passes"])
    label = f"PGD on a {victim.name} model"
    return rows, [
        Claim(what=f"{label}: attack time over its bare passes", figure=overhead, at_most=OVERHEAD),
        Claim(what=f"{label}: loss reached over the best peer's", figure=equal, at_least=NEARLY),
        *(
            Claim(what=f"{label}: {name}'s time over robeval's", figure=ratio(times[name], times["robeval"]))
            for name in peers
        ),
    ]


def _reached(task: Task, returned: list[Tensor]) -> Reached:
    with torch.no_grad():
        right = task.model(task.batch.picture).argmax(dim=1) == task.batch.label
        losses, fooled = [], 0
        for picture in returned:
            if float((picture - task.batch.picture).abs().max()) > task.radius + 1e-6:
                raise RuntimeError("a library left the ball: the comparison is void")
            logits = task.model(picture)
            losses.append(float(cross_entropy(logits, task.batch.label)))
            fooled += int((right & (logits.argmax(dim=1) != task.batch.label)).sum())
    return Reached(sum(losses) / len(losses), fooled, int(right.sum()) * len(returned))


def _shown(reached: Reached) -> tuple[str, str]:
    from scipy.stats import binomtest

    found = binomtest(reached.fooled, reached.attacked)
    interval, share = found.proportion_ci(method="wilson"), found.statistic
    return shown(reached.loss), f"{share:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
