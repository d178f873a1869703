"""A second look at grown triggers: every token was chosen before the ones behind it were known."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval_attacks.ranking.beams import Found, best_first
from robeval_attacks.ranking.flips import likely_flips
from robeval_attacks.ranking.fluent import Fluent


def refined(task: Fluent, found: Found, width: int, sweeps: int) -> Found:
    """`found` and what becomes of its `width` best sequences of the greatest length when tokens are exchanged.

    A sweep goes over all positions; candidates are as for growing (by language model, by gradient), and a token is
    exchanged where the whole sum rises. The ranker's score decides in the end, as among grown sequences.
    """
    longest = found.ids.shape[2]
    if not longest or not sweeps:
        return found
    eligible = found.score.masked_fill(found.length != longest, -torch.inf)
    best = torch.sort(eligible, dim=1, descending=True, stable=True).indices[:, :width]
    row, which = eligible.gather(1, best).isfinite().nonzero(as_tuple=True)
    if not len(row):
        return found
    ids = found.ids[row, best[row, which]].clone()
    worth = task.worth(row, ids)
    for _ in range(sweeps):
        before = worth.clone()
        for place in range(longest):
            ids, worth = _exchanged(task, row, ids, worth, place)
        if bool((worth == before).all()):
            break
    count = found.ids.shape[0]
    score = torch.full((count, width), -torch.inf, device=ids.device)
    table = torch.zeros(count, width, longest, dtype=torch.long, device=ids.device)
    score[row, which], table[row, which] = task.compared(row, ids, worth), ids
    score = torch.cat([found.score, score], dim=1)
    reached = score.amax(dim=1).nan_to_num(neginf=0.0).sum()
    return best_first(
        torch.cat([found.ids, table], dim=1),
        torch.cat([found.length, torch.full_like(best, longest)], dim=1),
        score,
        torch.cat([found.trace, reached.unsqueeze(0)]),
    )


def _exchanged(
    task: Fluent,
    row: Int64[Tensor, " rows"],
    ids: Int64[Tensor, "rows length"],
    worth: Float[Tensor, " rows"],
    place: int,
) -> tuple[Int64[Tensor, "rows length"], Float[Tensor, " rows"]]:
    options, allowed = _options(task, row, ids, place)
    tried = ids.unsqueeze(1).repeat(1, options.shape[1], 1)
    tried[:, :, place] = options
    again = row.repeat_interleave(options.shape[1])
    values = task.worth(again, tried.flatten(0, 1)).view(options.shape).masked_fill(~allowed, -torch.inf)
    best, chosen = values.max(dim=1)
    better = best > worth
    token = torch.where(better, options.gather(1, chosen.unsqueeze(1)).squeeze(1), ids[:, place])
    exchanged = ids.index_copy(1, torch.tensor([place], device=ids.device), token.unsqueeze(1))
    return exchanged, torch.where(better, best, worth)


def _options(
    task: Fluent, row: Tensor, ids: Tensor, place: int
) -> tuple[Int64[Tensor, "rows options"], Bool[Tensor, "rows options"]]:
    """Half of the candidates as the language model goes on after what stands before, half by first-order gain."""
    usable = (task.later if place else task.first)[row]
    half = max(1, task.taste.candidates // 2)
    with torch.no_grad():
        likely = task.language.next_log_probs(ids[:, :place]).masked_fill(~usable, -torch.inf)
    steep = likely_flips(task.reader, row, ids, place, usable, half, task.seen)
    options = torch.cat([likely.topk(min(half, likely.shape[1]), dim=1).indices, steep], dim=1)
    return options, usable.gather(1, options)
