"""Beam search over token sequences, all examples, beams and candidates in one tensor."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Extensions(NamedTuple):
    """Tokens that may follow each beam: ids, their log-probability, which count; [batch, beams, candidates] each."""

    ids: Tensor
    log_p: Tensor
    allowed: Tensor


class Beams(NamedTuple):
    """Sequences under way: ids [batch, beams, length], the sum of log-probabilities and whether they live."""

    ids: Tensor
    log_p: Tensor
    alive: Tensor


@runtime_checkable
class Task(Protocol):
    """What a beam search asks for."""

    def extend(self, beams: Beams) -> Extensions:
        """Candidates for the next token."""
        ...

    def value(self, beams: Beams, extensions: Extensions) -> Float[Tensor, "batch beams candidates"]:
        """What every candidate is worth; only allowed ones are looked at."""
        ...

    def check(
        self, ids: Int64[Tensor, "batch beams length"], value: Float[Tensor, "batch beams"]
    ) -> Float[Tensor, "batch beams"]:
        """By what kept sequences are compared, whatever their length; `value` is what `value` gave them."""
        ...


@dataclass(frozen=True)
class Found:
    """Every sequence that was kept at any step, best first: ids are padded with zeros.

    `score` is -inf where there is no sequence: [batch, kept].
    """

    ids: Int64[Tensor, "batch kept longest"]
    length: Int64[Tensor, "batch kept"]
    score: Float[Tensor, "batch kept"]
    trace: Float[Tensor, " steps"]
    """The best score after each step, summed over the examples that have one."""

    def mask(self) -> Bool[Tensor, "batch kept longest"]:
        """Which ids are no padding."""
        return torch.arange(self.ids.shape[2], device=self.ids.device) < self.length.unsqueeze(2)


def grow(task: Task, batch: int, steps: int, width: int, device: torch.device | str = "cpu") -> Found:
    """Sequences of 1 to `steps` tokens; the `width` best of each length go on.

    Each is reached by one path, so all are different. Ties go to the earlier beam and candidate.
    """
    beams = Beams(
        torch.zeros(batch, 1, 0, dtype=torch.long, device=device),
        torch.zeros(batch, 1, device=device),
        torch.ones(batch, 1, dtype=torch.bool, device=device),
    )
    kept: list[tuple[Tensor, Tensor]] = []
    for _ in range(steps):
        beams, value = _next(task, beams, width)
        score = task.check(beams.ids, value).masked_fill(~beams.alive, -torch.inf)
        kept.append((beams.ids, score))
    return gathered(kept, batch, device)


def _next(task: Task, beams: Beams, width: int) -> tuple[Beams, Float[Tensor, "batch kept"]]:
    extensions = task.extend(beams)
    allowed = extensions.allowed & beams.alive.unsqueeze(2)
    value = task.value(beams, extensions._replace(allowed=allowed)).masked_fill(~allowed, -torch.inf)
    flat = value.flatten(1)
    best = _top(flat, min(width, flat.shape[1]))
    parent = best // value.shape[2]
    token = extensions.ids.flatten(1).gather(1, best)
    length = beams.ids.shape[2]
    prefix = beams.ids.gather(1, parent.unsqueeze(2).expand(-1, -1, length))
    log_p = beams.log_p.gather(1, parent) + extensions.log_p.flatten(1).gather(1, best)
    grown = Beams(torch.cat([prefix, token.unsqueeze(2)], dim=2), log_p, allowed.flatten(1).gather(1, best))
    return grown, flat.gather(1, best)


def _top(values: Float[Tensor, "batch options"], count: int) -> Int64[Tensor, "batch {count}"]:
    """The places of the largest values, the earlier first among equals."""
    return torch.sort(values, dim=1, descending=True, stable=True).indices[:, :count]


def gathered(kept: list[tuple[Tensor, Tensor]], batch: int, device: torch.device | str = "cpu") -> Found:
    """(ids [batch, beams, length], score [batch, beams]) of several steps in one table, best first."""
    longest = max((ids.shape[2] for ids, _ in kept), default=0)
    pad = torch.nn.functional.pad
    none = torch.zeros(batch, 0, longest, dtype=torch.long, device=device)
    ids = torch.cat([none, *(pad(ids, (0, longest - ids.shape[2])) for ids, _ in kept)], dim=1)
    score = torch.cat([torch.zeros(batch, 0, device=device), *(score for _, score in kept)], dim=1)
    length = torch.cat(
        [none[:, :, :0].sum(dim=2), *(torch.full_like(score, ids.shape[2]).long() for ids, score in kept)],
        dim=1,
    )
    best = [step.amax(dim=1) for _, step in kept]
    so_far = torch.stack(best, dim=1).cummax(dim=1).values if best else torch.zeros(batch, 0, device=device)
    return best_first(ids, length, score, so_far.nan_to_num(neginf=0.0).sum(dim=0))


def best_first(
    ids: Int64[Tensor, "batch kept longest"],
    length: Int64[Tensor, "batch kept"],
    score: Float[Tensor, "batch kept"],
    trace: Float[Tensor, " steps"],
) -> Found:
    """Every row sorted by score; ties go to the earlier."""
    order = torch.sort(score, dim=1, descending=True, stable=True).indices
    return Found(
        ids.gather(1, order.unsqueeze(2).expand_as(ids)),
        length.gather(1, order),
        score.gather(1, order),
        trace,
    )
