"""Prompt batches."""

import torch

from robeval.domains.diffusion.batch import PromptBatch, put_back


def test_text_and_tokens_are_one_thing(prompts: PromptBatch) -> None:
    """Other words, other ids; the text of the ids is the words."""
    asked = prompts.with_text(("red disc",) * len(prompts))
    assert asked.text == ("red disc",) * len(prompts)
    assert asked.tokens.shape == prompts.tokens.shape
    assert asked.as_text().identical(asked)


def test_clean_prompts_survive_the_round_trip(prompts: PromptBatch) -> None:
    """What the dataset encodes is what victims read."""
    assert torch.equal(prompts.as_text().tokens, prompts.tokens)


def test_attacked_rows_return_to_their_places(prompts: PromptBatch) -> None:
    """Only targeted rows change, each in its own place; nothing but prompt, soft slots and seed is taken over."""
    part = prompts.select(prompts.targeted)
    changed = part.with_text(tuple(f"blue {text}" for text in part.text)).replace(image=1 - part.image)
    whole = put_back(prompts, changed)
    assert torch.equal(whole.image, prompts.image)
    for before, after, targeted in zip(prompts.text, whole.text, prompts.targeted.tolist(), strict=True):
        assert after == (f"blue {before}" if targeted else before)
