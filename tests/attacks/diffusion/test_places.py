"""Where an attacker writes."""

import pytest
import torch

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval_attacks.diffusion.places import Form, by_room, places, survives

SHAPES = text_tokens.SHAPES


def ids_of(*words: str) -> torch.Tensor:
    """The token ids of some words."""
    return text_tokens.encoded(SHAPES, (" ".join(words),), len(words) + 2)[0, 1:-1]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("prefix", "ocean winter a photo of a red circle"),
        ("suffix", "a photo of a red circle ocean winter"),
        ("middle", "a photo of ocean winter a red circle"),
        ("spread", "ocean a photo of winter a red circle"),
        ("replace", "ocean winter of a red circle"),
    ],
)
def test_words_stand_where_the_form_says(form: Form, text: str) -> None:
    """Two words before, behind, within, spread over or instead of a prompt of six."""
    tokens = text_tokens.encoded(SHAPES, ("a photo of a red circle",), 16)
    free = places(SHAPES, tokens, form, 2)
    assert text_tokens.decoded(SHAPES, free.written(ids_of("ocean", "winter")[None])) == (text,)


def test_spread_words_stand_before_every_third_and_then_behind() -> None:
    """The prompt's own order stays, whatever is written between."""
    tokens = text_tokens.encoded(SHAPES, ("a photo of a red circle", "red circle"), 16)
    written = places(SHAPES, tokens, "spread", 4).written(
        ids_of("ocean", "winter", "summer", "cloud").expand(2, -1)
    )
    assert text_tokens.decoded(SHAPES, written) == (
        "ocean a photo of winter a red circle summer cloud",
        "ocean red circle winter summer cloud",
    )


def test_the_victims_own_embeddings_give_its_own_states(untrained: Small, real_prompts: PromptBatch) -> None:
    """Filling the free places with embeddings of words is writing the words."""
    words = ids_of("ocean", "winter").expand(len(real_prompts), -1)
    free = places(SHAPES, real_prompts.tokens, "prefix", 2)
    through = untrained.encode(free.embedded(untrained, untrained.embed(words)))
    direct = untrained.text_encoder(input_ids=free.written(words)).last_hidden_state
    torch.testing.assert_close(through, direct, atol=1e-6, rtol=0)


def test_prompts_are_sorted_by_their_room(prompts: PromptBatch) -> None:
    """Of 16 tokens two are start and end: 12 words leave room for 2 more, 14 for none."""
    long = " ".join(["red"] * 12), "red circle", " ".join(["red"] * 14)
    batch = prompts.select([0, 1, 2]).with_text(long)
    found = {count: rows.tolist() for rows, count in by_room(batch, "prefix", 3.0)}
    assert found == {2: [0], 3: [1], 0: [2]}
    assert [(rows.tolist(), count) for rows, count in by_room(batch, "replace", 99.0)] == [([0, 1, 2], 14)]


def test_what_is_read_otherwise_does_not_survive() -> None:
    """Two fragments that the tokenizer would join are no text; whole words are."""
    tokenizer = text_tokens.tokenizer_named(SHAPES)
    pieces = [id for word, id in tokenizer.get_vocab().items() if word in ("c", "a</w>")]
    joined = torch.tensor([[0, *sorted(pieces), 1, 1], [0, *ids_of("ocean", "winter").tolist(), 1, 1]])
    assert survives(SHAPES, joined).tolist()[1]
    broken = text_tokens.retokenized(SHAPES, joined[:1])
    assert survives(SHAPES, joined).tolist()[0] == torch.equal(broken, joined[:1])
