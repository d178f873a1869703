"""How far two sequences are from each other, a whole batch at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor


class Kept(NamedTuple):
    """What two rows share at either end: int64 [rows] each."""

    front: Tensor
    end: Tensor


def shared_ends(
    first: Int64[Tensor, "rows m"],
    first_length: Int64[Tensor, " rows"],
    second: Int64[Tensor, "rows n"],
    second_length: Int64[Tensor, " rows"],
) -> Kept:
    """The longest common beginning, and the longest common end behind it."""
    shorter = torch.minimum(first_length, second_length)
    width = max(int(shorter.max()) if len(shorter) else 0, 1)
    place = torch.arange(width, device=first.device)
    inside = place < shorter.unsqueeze(1)
    first, second = (_at_least(value, width) for value in (first, second))
    front = ((first[:, :width] == second[:, :width]) & inside).int().cumprod(dim=1).sum(dim=1)
    last, other_last = (
        value.gather(1, (length.unsqueeze(1) - 1 - place).clamp_min(0))
        for value, length in ((first, first_length), (second, second_length))
    )
    end = ((last == other_last) & inside).int().cumprod(dim=1).sum(dim=1)
    return Kept(front, torch.minimum(end, shorter - front))


def _at_least(rows: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, max(0, width - rows.shape[1])), value=-1)


def edit_distance(
    first: Int64[Tensor, "rows m"],
    first_length: Int64[Tensor, " rows"],
    second: Int64[Tensor, "rows n"],
    second_length: Int64[Tensor, " rows"],
) -> Int64[Tensor, " rows"]:
    """The fewest insertions, removals and replacements that lead from `first` to `second` (Levenshtein).

    One step per element of the longest `first`; all rows and columns at once.
    """
    kept = shared_ends(first, first_length, second, second_length)
    a, a_length = _middle(first, first_length, kept)
    b, b_length = _middle(second, second_length, kept)
    columns = torch.arange(b.shape[1] + 1, device=first.device)
    row = columns.expand(len(first), -1)
    answer = row
    for i in range(1, a.shape[1] + 1):
        change = row[:, :-1] + (a[:, i - 1 : i] != b)
        without_insertion = torch.cat([row[:, :1] + 1, torch.minimum(change, row[:, 1:] + 1)], dim=1)
        # Insertions cost 1 per column: the running minimum of (cost - column) does them all at once.
        row = (without_insertion - columns).cummin(dim=1).values + columns
        answer = torch.where((a_length >= i).unsqueeze(1), row, answer)
    return answer.gather(1, b_length.unsqueeze(1)).squeeze(1)


def _middle(rows: Tensor, length: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
    """What is left between the shared ends, padded with -1."""
    left = length - kept.front - kept.end
    width = int(left.max()) if len(left) else 0
    place = torch.arange(width, device=rows.device)
    index = (kept.front.unsqueeze(1) + place).clamp_max(max(rows.shape[1] - 1, 0))
    taken = rows.gather(1, index) if rows.shape[1] else rows.new_full((len(rows), width), -1)
    return taken.masked_fill(place >= left.unsqueeze(1), -1), left
