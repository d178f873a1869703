"""A genetic search over token sequences."""

import torch
from torch import Tensor

from robeval.seeding import Seed
from robeval_attacks.diffusion.genetic import children, evolve

TARGET = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def wrong(words: Tensor) -> Tensor:
    """How many words are not those of the target."""
    return (words != TARGET[:, None]).sum(dim=-1).float()


def test_a_known_optimum_is_reached() -> None:
    """Sequences of five of ten words are found exactly, and the best never gets worse."""
    found = evolve(wrong, 10, (40, 5), 80, 0.5, 0.25, Seed(0).draws(["a", "b"]))
    assert torch.equal(found.members[:, 0], TARGET)
    assert found.distance[:, 0].tolist() == [0, 0]
    assert len(found.trace) == 81
    assert (found.trace.diff() <= 0).all()
    assert found.trace[0] > found.trace[-1]
    torch.testing.assert_close(found.distance, wrong(found.members))
    assert (found.distance.diff(dim=1) >= 0).all()


def test_children_come_of_their_parents() -> None:
    """Without mutation a child has a beginning of one parent and the end of another; without both it is a copy."""
    parents = torch.arange(12).view(1, 4, 3)
    copies = children(parents, 50, 99, 0.0, 0.0, Seed(0).draws(["a"]))[0]
    assert {tuple(row) for row in copies.tolist()} <= {tuple(row) for row in parents[0].tolist()}
    mixed = children(parents, 50, 99, 1.0, 0.0, Seed(0).draws(["a"]))[0]
    assert (mixed % 3 == torch.arange(3)).all()
    owner = mixed // 3
    assert (owner[:, 0] != owner[:, 2]).any()
    assert ((owner[:, 0] == owner[:, 1]) | (owner[:, 1] == owner[:, 2])).all()


def test_a_mutation_changes_one_word_at_most() -> None:
    """With every child mutated, each differs from some parent in at most one place, and some do."""
    parents = torch.zeros(1, 4, 3, dtype=torch.long)
    found = children(parents, 50, 99, 0.0, 1.0, Seed(0).draws(["a"]))[0]
    changed = (found != 0).sum(dim=1)
    assert int(changed.max()) == 1
    assert float(changed.float().mean()) > 0.8


def test_what_cannot_be_measured_is_worst() -> None:
    """A distance of NaN never wins."""

    def odd(words: Tensor) -> Tensor:
        return torch.where(words[..., 0] == 0, torch.nan, wrong(words))

    found = evolve(odd, 10, (20, 5), 10, 0.5, 0.25, Seed(0).draws(["a", "b"]))
    assert found.distance[:, 0].isfinite().all()
