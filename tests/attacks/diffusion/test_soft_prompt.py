"""Soft prompts."""

from typing import Any

import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval_attacks.diffusion.soft_prompt import SoftPrompt

QUICK = SoftPrompt(iterations=60, rounds=6)


def test_the_concept_comes_back_without_a_word(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Vectors in front bring every circle back; no word, no seed and no other prompt is touched."""
    done = run_attack(QUICK, planted, prompts)
    asked = prompts.targeted
    assert done.shown[asked].all()
    assert (done.spent["embeddings"][asked] == 3).all()
    assert torch.equal(done.adversarial.tokens, prompts.tokens)
    assert torch.equal(done.adversarial.seed, prompts.seed)
    assert not done.adversarial.soft[~asked].any()


def test_slots_are_no_more_than_budget_and_room_allow(
    run_attack: Any, planted: Any, prompts: PromptBatch
) -> None:
    """A full prompt gets none and is noted, one with one free place gets one."""
    part = prompts.select([0, 1, 2])
    full = "a photo of the red plain circle a photo of the red plain circle"
    texts = (full, full.removeprefix("a "), "red circle")
    batch = part.with_text(texts)
    done = run_attack(QUICK, planted, batch, 2.0)
    assert done.spent["embeddings"].tolist() == [0.0, 1.0, 2.0]
    assert done.view.notes["no_room"].tolist() == [True, False, False]
