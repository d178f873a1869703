"""Token flips by first-order gain, checked exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval_attacks.ranking.reader import Reader, full

Seen = Callable[[Tensor, Tensor], Tensor]
"""Vectors and the example of each row to the same vectors, watched."""


@dataclass(frozen=True)
class Flipped:
    """The triggers that a search ended with, and the score of each after every sweep: [rows, sweeps]."""

    ids: Int64[Tensor, "rows length"]
    score: Float[Tensor, " rows"]
    trace: Float[Tensor, "rows sweeps"]


def flip(
    reader: Reader,
    row: Int64[Tensor, " rows"],
    start: Int64[Tensor, "rows length"],
    usable: Bool[Tensor, "batch vocabulary"],
    candidates: int,
    sweeps: int,
    seen: Seen,
) -> Flipped:
    """Replace one token after the other by the best of the `candidates` with the largest first-order gain.

    `row` is the example of each trigger. A sweep goes over all positions; rows that a sweep did not improve are done.
    """
    ids, score = start.clone(), reader.scores(row, start)
    active = torch.arange(len(row), device=row.device)
    trace = [score.clone()]
    for _ in range(sweeps):
        before = score[active]
        for place in range(ids.shape[1]):
            ids[active], score[active] = _flipped(
                reader, row[active], ids[active], score[active], place, usable, candidates, seen
            )
        trace.append(score.clone())
        active = active[score[active] > before]
        if not len(active):
            break
    return Flipped(ids, score, torch.stack(trace, dim=1))


def _flipped(
    reader: Reader,
    row: Tensor,
    ids: Tensor,
    score: Tensor,
    place: int,
    usable: Tensor,
    candidates: int,
    seen: Seen,
) -> tuple[Tensor, Tensor]:
    options = likely_flips(reader, row, ids, place, usable[row], candidates, seen)
    tried = ids.unsqueeze(1).repeat(1, options.shape[1], 1)
    tried[:, :, place] = options
    values = reader.scores(row.repeat_interleave(options.shape[1]), tried.flatten(0, 1)).view(options.shape)
    values = values.masked_fill(~usable[row].gather(1, options), -torch.inf)
    best, which = values.max(dim=1)
    better = best > score
    token = torch.where(better, options.gather(1, which.unsqueeze(1)).squeeze(1), ids[:, place])
    return ids.index_copy(1, torch.tensor([place], device=ids.device), token.unsqueeze(1)), torch.where(
        better, best, score
    )


def likely_flips(
    reader: Reader,
    row: Int64[Tensor, " rows"],
    ids: Int64[Tensor, "rows length"],
    place: int,
    usable: Bool[Tensor, "rows vocabulary"],
    candidates: int,
    seen: Seen,
) -> Int64[Tensor, "rows candidates"]:
    """The tokens with the largest (new vector - old vector) times slope at `place`."""
    table = reader.ranker.word_vectors[: usable.shape[1]].detach()
    vectors = reader.ranker.embed(full(ids)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(reader.soft_scores(row, seen(vectors, row)).sum(), vectors)
    # The old token's own term is the same for all candidates, so the order does not need it.
    gain = (slope[:, place] @ table.T).masked_fill(~usable[:, : len(table)], -torch.inf)
    return gain.topk(min(candidates, gain.shape[1]), dim=1).indices
