"""From prompts to token ids and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robeval.domains.diffusion import tokens
from robeval.domains.diffusion.world import vocabulary
from robeval.errors import MissingFile
from robeval.seeding import Seed


def test_every_word_of_the_world_is_one_token() -> None:
    """A word of the world is start, one token, end."""
    ids = tokens.encoded(tokens.SHAPES, vocabulary())
    assert (tokens.first_end(tokens.SHAPES, ids) == 2).all()


def test_decoding_inverts_encoding() -> None:
    """A caption of known words comes back as it was."""
    texts = ("a photo of a red striped circle", "", "disc")
    assert tokens.decoded(tokens.SHAPES, tokens.encoded(tokens.SHAPES, texts)) == texts


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ", max_size=40))
def test_a_second_round_trip_changes_nothing(text: str) -> None:
    """Whatever text was read once is read the same again."""
    once = tokens.encoded(tokens.SHAPES, (text,))
    again = tokens.retokenized(tokens.SHAPES, once)
    assert torch.equal(again, tokens.retokenized(tokens.SHAPES, again))


def test_what_stands_behind_the_first_end_is_no_text() -> None:
    """Ids behind the end do not reach the text."""
    ids = tokens.encoded(tokens.SHAPES, ("red circle",))
    hidden = ids.clone()
    hidden[0, 8] = ids[0, 1]
    assert tokens.decoded(tokens.SHAPES, hidden) == ("red circle",)


def test_searchable_tokens_survive_as_prefixes() -> None:
    """Three random searchable tokens in front of a prompt are read as the same tokens."""
    known = tokens.searchable(tokens.SHAPES).nonzero().squeeze(1)
    draw = Seed(0).draws([str(n) for n in range(200)])
    words = known[draw.integers(len(known), 3)]
    prompt = tokens.encoded(tokens.SHAPES, ("a red circle",)).expand(200, -1)
    longer = tokens.inserted(tokens.SHAPES, prompt, words)
    assert torch.equal(tokens.retokenized(tokens.SHAPES, longer), longer)
    start, end = tokens.special_ids(tokens.SHAPES)
    assert not tokens.searchable(tokens.SHAPES)[[start, end]].any()


def test_insertion_moves_the_rest_along() -> None:
    """Words are put in at the place that was asked for, per row."""
    prompt = tokens.encoded(tokens.SHAPES, ("red circle", "red circle"))
    words = tokens.encoded(tokens.SHAPES, ("blue house", "blue house"))[:, 1:3]
    longer = tokens.inserted(tokens.SHAPES, prompt, words, torch.tensor([1, 3]))
    assert tokens.decoded(tokens.SHAPES, longer) == ("blue house red circle", "red circle blue house")
    assert tokens.room(tokens.SHAPES, prompt).tolist() == [12, 12]


def test_too_long_a_prompt_keeps_its_end_token() -> None:
    """What does not fit falls off; the last place is an end."""
    prompt = tokens.encoded(tokens.SHAPES, ("red " * 14,))
    assert tokens.room(tokens.SHAPES, prompt).item() == 0
    longer = tokens.inserted(tokens.SHAPES, prompt, prompt[:, 1:3])
    assert longer[0, -1] == tokens.special_ids(tokens.SHAPES)[1]


def test_a_missing_tokenizer_is_named() -> None:
    """A folder without a tokenizer is refused with its name."""
    with pytest.raises(MissingFile, match="no-such-pipeline"):
        tokens.tokenizer_named("./no-such-pipeline")
