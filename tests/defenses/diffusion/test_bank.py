"""Points on the original's paths."""

import torch

from robeval.domains.diffusion.tokens import SHAPES, encoded
from robeval.domains.diffusion.victims.small import Small
from robeval.seeding import Seed
from robeval_defenses.diffusion.bank import Bank, Points, drawn_bank

TEXTS = ("a circle", "the striped square")


def bank(victim: Small, guidance: float = 3.0) -> Bank:
    """Two paths of three steps."""
    return drawn_bank(victim, TEXTS, Seed(0), guidance)


def test_paths_are_those_of_the_sampler(victim: Small) -> None:
    """With the same seeds the sampler goes through the same latents at the same timesteps."""
    drawn = bank(victim)
    names = tuple(f"{number}:{text}" for number, text in enumerate(TEXTS))
    seeds = Seed(0).draws(names).bits(1).squeeze(1)
    with torch.no_grad():
        visited, moments = victim.trajectory(victim.encode_text(TEXTS), seeds, guidance=3.0)
    assert drawn.timestep.tolist() == moments
    # An untrained model's latents grow from step to step, and the last bits' rounding with them.
    torch.testing.assert_close(drawn.latents, torch.stack(visited, dim=1), atol=1e-4, rtol=1e-4)


def test_answers_are_the_originals(victim: Small) -> None:
    """At every point it holds the noise for the caption and for the empty one."""
    points = bank(victim).at(torch.tensor([0, 1]), torch.tensor([1, 2]))
    assert torch.equal(points.tokens, encoded(SHAPES, TEXTS, 16))
    with torch.no_grad():
        told = victim.predict_noise(points.latents, points.timestep, victim.encode_text(TEXTS))
        untold = victim.predict_noise(points.latents, points.timestep, victim.encode_text(("", "")))
    assert torch.allclose(points.with_text, told, atol=1e-5)
    assert torch.allclose(points.without, untold, atol=1e-5)
    assert not torch.allclose(told, untold, atol=1e-4)


def test_the_erasing_target_of_strength_one_mirrors_the_caption() -> None:
    """A4: 2 e(empty) - e(caption); strength 0 is the empty caption's noise."""
    one = torch.ones(1, 1, 1, 1)
    points = Points(
        torch.zeros(1, 4, dtype=torch.long), one, torch.zeros(1, dtype=torch.long), 5 * one, 2 * one
    )
    assert points.erased(1.0).item() == 2 * 2 - 5
    assert points.erased(2.0).item() == 2 - 2 * (5 - 2)
    assert points.erased(0.0).item() == 2


def test_other_seeds_go_other_ways(victim: Small) -> None:
    """The same seed gives the same points, another one others."""
    assert torch.equal(bank(victim).latents, bank(victim).latents)
    assert not torch.equal(drawn_bank(victim, TEXTS, Seed(1), 3.0).latents, bank(victim).latents)
