"""The closed-form edit."""

import numpy as np
import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import generator
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_defenses.diffusion.parts import trained_parameters
from robeval_defenses.diffusion.uce import Edit, Uce, states_of, word_states


def test_the_edit_is_the_ridge_solution() -> None:
    """A5: numpy's least squares on the stacked, weighted equations gives the same matrix."""
    source = torch.Generator().manual_seed(0)
    old = torch.randn(3, 5, generator=source)
    edit = Edit(*(torch.randn(rows, 5, generator=source) for rows in (4, 4, 8)))
    options = Uce(erase=2.0, preserve=0.5, ridge=0.3)
    share = 0.5 * 4 / 8
    left = np.concatenate([2.0**0.5 * edit.states, share**0.5 * edit.kept, 0.3**0.5 * np.eye(5)])
    right = np.concatenate(
        [2.0**0.5 * edit.instead @ old.T, share**0.5 * edit.kept @ old.T, 0.3**0.5 * old.T]
    )
    expected = np.linalg.lstsq(left, right, rcond=None)[0].T
    assert np.allclose(options.solved(old, edit), expected, atol=1e-4)


def test_nothing_to_erase_changes_nothing() -> None:
    """States that are to be read as themselves leave the matrix as it was."""
    source = torch.Generator().manual_seed(0)
    old, states, kept = (torch.randn(rows, 5, generator=source) for rows in (3, 4, 8))
    assert torch.allclose(Uce().solved(old, Edit(states, states, kept)), old, atol=1e-5)
    assert torch.allclose(Uce(preserve=0.0).solved(old, Edit(states, states, kept[:0])), old, atol=1e-5)


def test_a_copy_is_edited_and_only_keys_and_values(victim: Small, training: TrainingOnly) -> None:
    """The victim stays; all other weights of the copy are the victim's."""
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    edited = Uce().harden(victim, training, Seed(0))
    assert all(torch.equal(value, before[name]) for name, value in victim.state_dict().items())
    moved = {name for name, value in edited.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == set(trained_parameters(generator(edited), "unet-x-strict"))


@pytest.mark.parametrize("ends", [True, False])
def test_the_concept_is_read_as_the_guide(victim: Small, training: TrainingOnly, ends: bool) -> None:
    """Keys of the concept's word get much nearer to the guide's; with `ends` also behind the word."""
    options = Uce(guide="square", erase=100.0, preserve=1.0, ridge=1e-4, ends=ends, captions=16)
    edited = generator(options.harden(victim, training, Seed(0)))
    name, new = next(iter(trained_parameters(edited, "unet-x-strict").items()))
    old = trained_parameters(victim, "unet-x-strict")[name]
    with torch.no_grad():
        (asked, guide), end = states_of(victim, ("a photo of a circle", "a photo of a square"))
        places = range(int(end[0]) - 1, 16) if ends else [int(end[0]) - 1]
        for place in places:
            goal = guide[place if place < int(end[0]) else -1]
            gap = (asked[place] @ new.T - goal @ old.T).norm() / (asked[place] @ old.T - goal @ old.T).norm()
            assert float(gap) < 0.4


def test_states_of_words(victim: Small) -> None:
    """The start has none; ends only when asked for."""
    with torch.no_grad():
        states, end = states_of(victim, ("a red circle", "circle"))
        assert end.tolist() == [4, 2]
        assert torch.equal(
            word_states(victim, ("a red circle", "circle"), ends=False),
            torch.cat([states[0, 1:4], states[1, 1:2]]),
        )
        assert len(word_states(victim, ("a red circle", "circle"), ends=True)) == 30


def test_the_edited_model_draws_something_else(
    victim: Small, training: TrainingOnly, prompts: PromptBatch
) -> None:
    """And the same every time."""
    with torch.no_grad():
        plain = victim(prompts).image
        one, other = (Uce().harden(victim, training, Seed(0))(prompts).image for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.allclose(one, plain, atol=1e-4)
