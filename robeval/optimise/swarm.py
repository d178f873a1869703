"""Particle swarm search on many independent rows at once; asks for values only."""

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.optimise.problem import Best, Scores
from robeval.seeding import Draws


def swarm(
    problem: Scores,
    draw: Draws,
    like: Float[Tensor, "rows ..."],
    half_width: float,
    particles: int,
    iterations: int,
    inertia: float = 1.0,
    own: float = 0.5,
    shared: float = 0.3,
) -> Best:
    """Fly `particles` per row through the box [-half_width, half_width]; return each row's best scored point.

    `problem.score` is given [rows * particles, ...], a row's particles adjacent. A particle that leaves the
    box comes back in at the other side. A particle with a value that is not finite is not followed, and its
    row is marked broken. Points have the shape and the precision of `like`.

    Source: Kennedy and Eberhart, "Particle swarm optimization", ICNN 1995; one best particle for the whole
    swarm.
    """
    shape, dtype = like.shape[1:], like.dtype

    def draws(low: float, high: float) -> Tensor:
        return draw.uniform(particles, *shape, low=low, high=high, dtype=dtype).flatten(0, 1)

    def leader(value: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        value, number = value.view(-1, particles).max(dim=1)
        return value, place[rows * particles + number]

    rows = torch.arange(len(like), device=like.device)
    best = Best.none(like)
    place, speed = draws(-half_width, half_width), draws(-half_width, half_width)
    own_place, own_value = place, torch.full((len(place),), -torch.inf, dtype=dtype, device=like.device)
    for iteration in range(iterations):
        value, point = problem.score(place)
        finite = value.isfinite()
        best.broken[rows[(~finite).view(-1, particles).any(dim=1)]] = True
        value = torch.where(finite, value, torch.full_like(value, -torch.inf)).to(dtype)
        best.offer(rows, *leader(value, point))
        best.looked()
        improved = value > own_value
        own_value = torch.where(improved, value, own_value)
        own_place = torch.where(_like(improved, place), place, own_place)
        if iteration + 1 == iterations:
            break
        lead = leader(own_value, own_place)[1].repeat_interleave(particles, dim=0)
        pull = own * draws(0.0, 1.0) * (own_place - place) + shared * draws(0.0, 1.0) * (lead - place)
        speed = inertia * speed + pull
        place = _wrapped(place + speed, half_width)
    return best


def _like(rows: Tensor, values: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (values.dim() - 1))


def _wrapped(place: Tensor, half_width: float) -> Tensor:
    width = 2 * half_width
    return torch.zeros_like(place) if width == 0 else (place + half_width).remainder(width) - half_width
