"""AdvUnlearn and the attacker inside it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.diffusion.tokens import SHAPES, searchable
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_defenses.diffusion.adv_unlearn import AdvUnlearn, ErasingUnderAttack
from robeval_defenses.diffusion.bank import Points, drawn_bank
from robeval_defenses.diffusion.inner_attack import attacked_prefix, imitation, random_words, with_prefix
from robeval_defenses.diffusion.parts import trained_parameters

FEW: dict[str, Any] = {"steps": 2, "batch_size": 4, "trajectories": 4}
ROWS = [str(row) for row in range(4)]


@pytest.fixture
def points(victim: Small) -> Points:
    """Four points of one path each."""
    bank = drawn_bank(
        victim, ("a circle", "the striped circle", "red circle", "a photo of a circle"), Seed(0), 3.0
    )
    return bank.at(torch.arange(4), torch.tensor([0, 1, 2, 1]))


def test_the_prefix_stands_behind_the_start(victim: Small, points: Points) -> None:
    """The prompt follows it, and as much padding falls off at the end."""
    prefix = torch.full((4, 3, 64), 7.0)
    plain, attacked = victim.embed(points.tokens), with_prefix(victim, points.tokens, prefix)
    assert attacked.shape == plain.shape
    assert torch.equal(attacked[:, 0], plain[:, 0])
    assert torch.equal(attacked[:, 1:4], prefix)
    assert torch.equal(attacked[:, 4:], plain[:, 1:-3])


def test_the_search_starts_at_words_that_can_be_written(victim: Small) -> None:
    """Each row of the prefix is an embedding of an allowed token, other ones per row."""
    words = random_words(victim, Seed(0).draws(ROWS), 3)
    allowed = victim.token_table.weight[searchable(SHAPES)]
    nearest = (words.flatten(0, 1)[:, None] - allowed.detach()).abs().amax(dim=-1).amin(dim=1)
    assert words.shape == (4, 3, 64)
    assert float(nearest.max()) == 0
    assert len(words.flatten(0, 1).unique(dim=0)) > 6


def test_one_step_is_a_signed_step(victim: Small, points: Points) -> None:
    """The fast variant goes `step` down along the sign of the gradient."""
    start = random_words(victim, Seed(0).draws(ROWS), 2)
    asked = start.clone().requires_grad_()
    (slope,) = torch.autograd.grad(imitation(victim, points, asked).sum(), asked)
    found = attacked_prefix(victim, lambda: points, start, steps=1, step=0.25)
    assert torch.allclose(found, start - 0.25 * slope.sign())


@pytest.mark.parametrize("steps", [1, 5])
def test_the_attacker_gets_nearer_to_the_original(victim: Small, points: Points, steps: int) -> None:
    """Against a model that has drifted, every row's prefix lowers the imitation loss, and no weight gets a gradient."""
    with torch.no_grad():
        for weight in trained_parameters(victim, "unet-x").values():
            weight.mul_(1.5)
    start = random_words(victim, Seed(0).draws(ROWS), 3)
    found = attacked_prefix(victim, lambda: points, start, steps=steps, step=0.01)
    with torch.no_grad():
        assert bool((imitation(victim, points, found) < imitation(victim, points, start)).all())
    assert all(weight.grad is None for weight in victim.parameters())
    assert not found.requires_grad


def test_rows_are_attacked_on_their_own(victim: Small, points: Points) -> None:
    """A prefix does not depend on its neighbours."""
    start = random_words(victim, Seed(0).draws(ROWS), 2)
    together = attacked_prefix(victim, lambda: points, start, steps=3, step=0.1)
    part = Points(*(value[1:2] for value in points))
    alone = attacked_prefix(victim, lambda: part, start[1:2], steps=3, step=0.1)
    assert torch.allclose(together[1:2], alone, atol=1e-4)


def test_a_share_of_the_batch_is_attacked(victim: Small, training: TrainingOnly) -> None:
    """Half of the rows have a prefix, the others are the plain captions."""
    module = AdvUnlearn(attacked=0.5, **FEW).robustify(victim, training, Seed(0))
    assert isinstance(module, ErasingUnderAttack)
    draw = Seed(1).draws(ROWS)
    path = module.concept_bank.paths(draw)
    asked = module.concept_bank.at(path, module.concept_bank.steps(draw))
    words, plain = module.words(path, asked, draw), victim.embed(asked.tokens)
    same = (words == plain).flatten(1).all(dim=1)
    assert same.tolist() == [False, False, True, True]
    assert torch.equal(words[:2, 4:], plain[:2, 1:-3])


@pytest.mark.parametrize(
    "options", [{}, {"part": "unet-x", "inner_steps": 2}, {"layers": 1, "attacked": 1.0}]
)
def test_only_the_named_weights_change(
    victim: Small, trained: Callable[..., Any], changed: Callable[..., set[str]], options: dict[str, Any]
) -> None:
    """The inner attack leaves no trace in what is not trained."""
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    defense = AdvUnlearn(**FEW, **options)
    trained(defense, victim)
    moved = changed(victim, before)
    assert moved
    assert moved <= set(trained_parameters(victim, defense.part, defense.layers))


def test_the_same_seed_gives_the_same_weights(victim: Small, trained: Callable[..., Any]) -> None:
    """The attacker's draws belong to the training's seed."""
    import copy

    models = [copy.deepcopy(victim) for _ in range(2)]
    for model in models:
        trained(AdvUnlearn(**FEW), model)
    pairs = zip(*(model.state_dict().values() for model in models), strict=True)
    assert all(torch.equal(one, same) for one, same in pairs)
