"""Relaxed tokens."""

from itertools import combinations

import torch
from torch import Tensor

from robeval.seeding import Seed
from robeval_attacks.diffusion.simplex import on_simplex, sampled


def nearest_by_trying(value: Tensor) -> Tensor:
    """The nearest point of the simplex to one vector, by trying every set of coordinates that are not zero."""
    best, distance = value, float("inf")
    for size in range(1, len(value) + 1):
        for chosen in combinations(range(len(value)), size):
            point = torch.zeros_like(value)
            part = value[list(chosen)]
            point[list(chosen)] = part - (part.sum() - 1) / size
            away = float((point - value).square().sum())
            if bool((point >= 0).all()) and away < distance:
                best, distance = point, away
    return best


def test_the_projection_is_the_nearest_point_of_the_simplex() -> None:
    """Random vectors of five land where trying every support puts them, and no later projection moves them."""
    value = torch.randn(4, 10, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double) * 1.5
    found = on_simplex(value)
    wanted = torch.stack([nearest_by_trying(row) for row in value.flatten(0, 1)]).view_as(value)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(4, 10, dtype=torch.double), atol=1e-6, rtol=0)
    torch.testing.assert_close(on_simplex(found), found)


def test_a_projection_by_hand() -> None:
    """(1, 0.6, -2) loses 0.3 where it stays: (0.7, 0.3, 0)."""
    torch.testing.assert_close(
        on_simplex(torch.tensor([[[1.0, 0.6, -2.0]]])), torch.tensor([[[0.7, 0.3, 0.0]]])
    )


def test_words_are_drawn_by_their_weights() -> None:
    """A word with weight 0 never comes, the others as often as their weights say, and each row draws alone."""
    weight = torch.tensor([0.0, 0.2, 0.0, 0.8, 0.0]).expand(2000, 2, 5)
    draw = Seed(0).draws([str(number) for number in range(2000)])
    found = sampled(weight, draw)
    assert set(found.unique().tolist()) == {1, 3}
    assert abs(float((found == 3).float().mean()) - 0.8) < 0.03
    alone = sampled(weight[:1], Seed(0).draws(["7"]))
    assert torch.equal(alone[0], found[7])
