"""A genetic search over token sequences: all populations of a batch at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.seeding import Draws

Distance = Callable[[Int64[Tensor, "rows size slots"]], Float[Tensor, "rows size"]]


class Evolved(NamedTuple):
    """The last populations, best first, and how the best distances fell."""

    members: Int64[Tensor, "rows size slots"]
    distance: Float[Tensor, "rows size"]
    trace: Float[Tensor, " generations"]
    """The best distances, summed over the rows, before the first and after each generation."""


def evolve(
    distance: Distance,
    words: int,
    shape: tuple[int, int],
    generations: int,
    crossover: float,
    mutation: float,
    draw: Draws,
) -> Evolved:
    """Populations of `shape` (size, slots), drawn from `words` words, after so many generations.

    The better half stays; the other half are its children: of two parents from a random place on (a share
    `crossover`), or copies of one; a share `mutation` of them gets one random word.
    """
    size, slots = shape
    elite = size // 2
    members = draw.integers(words, size, slots)
    worth = distance(members)
    members, worth = ranked(members, worth)
    trace = [float(worth[:, 0].sum())]
    for _ in range(generations):
        young = children(members[:, :elite], size - elite, words, crossover, mutation, draw)
        members, worth = ranked(
            torch.cat([members[:, :elite], young], dim=1),
            torch.cat([worth[:, :elite], distance(young)], dim=1),
        )
        trace.append(float(worth[:, 0].sum()))
    return Evolved(members, worth, torch.tensor(trace, dtype=torch.double))


def ranked(
    members: Int64[Tensor, "rows size slots"], worth: Float[Tensor, "rows size"]
) -> tuple[Tensor, Tensor]:
    """Best first; what is not finite last."""
    order = worth.nan_to_num(nan=torch.inf).argsort(dim=1, stable=True)
    return members.gather(1, order[..., None].expand_as(members)), worth.gather(1, order)


def children(
    parents: Int64[Tensor, "rows elite slots"],
    count: int,
    words: int,
    crossover: float,
    mutation: float,
    draw: Draws,
) -> Int64[Tensor, "rows count slots"]:
    """New members made of the parents."""
    elite, slots = parents.shape[1:]
    place = torch.arange(slots, device=parents.device)

    def some() -> Tensor:
        return parents.gather(1, draw.integers(elite, count)[..., None].expand(-1, -1, slots))

    one, other = some(), some()
    cut = 1 + draw.integers(max(slots - 1, 1), count)
    is_mixed = draw.coin(crossover, count)
    child = torch.where((is_mixed[..., None]) & (place >= cut[..., None]), other, one)
    is_changed = draw.coin(mutation, count)
    at = draw.integers(slots, count)
    fresh = draw.integers(words, count)[..., None]
    return torch.where(is_changed[..., None] & (place == at[..., None]), fresh, child)
