"""The closed-form edit."""

import numpy as np
import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import generator
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_defenses.diffusion.captions import known_captions
from robeval_defenses.diffusion.parts import trained_parameters
from robeval_defenses.diffusion.uce import Edit, Uce, word_states


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


@pytest.mark.parametrize("behind", [True, False])
def test_the_concept_is_read_as_the_guide(victim: Small, training: TrainingOnly, behind: bool) -> None:
    """Keys of the concept's word get much nearer to the guide's; with `behind` those of what follows do too."""
    options = Uce(guide="square", erase=100.0, preserve=1.0, ridge=1e-4, behind=behind, captions=64)
    edited = generator(options.harden(victim, training, Seed(0)))
    name, new = next(iter(trained_parameters(edited, "unet-x-strict").items()))
    old = trained_parameters(victim, "unet-x-strict")[name]
    naming = known_captions(training).naming[:8]
    with torch.no_grad():
        asked, guide = options.erased(victim, "circle", naming)
        before, after = ((asked @ weight.T - guide @ old.T).norm() for weight in (old, new))
    assert float(after) < (0.9 if behind else 0.2) * float(before)


def test_words_are_exchanged_in_their_places(victim: Small) -> None:
    """The states behind the guide stand for those behind the concept, however many words either has."""
    text = ("a photo of a circle small red",)
    with torch.no_grad():
        asked = victim.encode_text(text)[0]
        for guide, place in (("square", 5), ("", 4), ("red square", 6)):
            words = " ".join(f"a photo of a {guide} small red".split())
            other = victim.encode_text((words,))[0]
            places = [min(place + number, 15) for number in range(16 - 5)]
            states, instead = Uce(guide=guide).erased(victim, "circle", text)
            assert torch.allclose(states, asked[5:], atol=1e-6)
            assert torch.allclose(instead, other[places], atol=1e-6)
            states, instead = Uce(guide=guide, behind=False).erased(victim, "circle", text)
            assert torch.allclose(states, asked[5:6], atol=1e-6)
            assert torch.allclose(instead, other[place : place + 1], atol=1e-6)


def test_a_caption_of_the_concept_alone(victim: Small) -> None:
    """Without a guide its word is read as the start of the empty caption."""
    with torch.no_grad():
        states, instead = Uce(behind=False).erased(victim, "circle", ("circle",))
        assert torch.allclose(states, victim.encode_text(("circle",))[0, 1:2], atol=1e-6)
        assert torch.allclose(instead, victim.encode_text(("",))[0, :1], atol=1e-6)


def test_states_of_words(victim: Small) -> None:
    """The start has none; ends only when asked for."""
    with torch.no_grad():
        states = victim.encode_text(("a red circle", "circle"))
        assert torch.allclose(
            word_states(victim, ("a red circle", "circle"), ends=False),
            torch.cat([states[0, 1:4], states[1, 1:2]]),
            atol=1e-6,
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
