"""Greedy coordinate gradient."""

from typing import Any

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.diffusion import gcg
from robeval_attacks.diffusion.aim import Aim
from robeval_attacks.diffusion.gcg import GCG, Trigger
from robeval_attacks.diffusion.places import places
from robeval_attacks.diffusion.wording import Vocabulary


@pytest.fixture
def trigger(planted: Any, prompts: PromptBatch) -> Trigger:
    """Two tokens in front of two prompts, none of them the planted word."""
    from robeval.domains.diffusion.domain import Diffusion

    rows = prompts.select(prompts.targeted).select([0, 1])
    vocabulary = Vocabulary.of(planted, rows.tokenizer)
    others = (vocabulary.ids != planted.word).nonzero().squeeze(1)
    free = places(rows.tokenizer, rows.tokens, "prefix", 2)
    view: View[PromptBatch] = View(planted, Diffusion(), GCG().grant, rows.ids)
    return Trigger(view, planted, rows, free, vocabulary, others[:2].expand(2, -1), False)


def test_the_planted_word_is_found(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Only the word helps, and the gradient proposes it; everything else of the prompt stays, others are untouched."""
    done = run_attack(GCG(iterations=4, rounds=2), planted, prompts)
    asked = prompts.targeted
    assert done.shown[asked].all()
    assert (done.spent["tokens"][asked] <= 3).all()
    other = ~asked
    assert done.adversarial.select(other).identical(prompts.select(other))


def test_an_exchange_takes_one_token_and_lowers_the_error(trigger: Trigger, planted: Any) -> None:
    """The first proposal of the gradient is the planted word; one place changes, and the error falls below 1."""
    draw = Seed(0).draws(trigger.prompts.ids)
    with under_attack(planted):
        exams = [trigger.exam(Aim(planted, torch.ones(2, 2, 2, 2)).question(0.4, draw))]
        before = trigger.loss(trigger.words.unsqueeze(1), exams).squeeze(1)
        after, loss = trigger.exchanged(before, exams, 4, draw)
    torch.testing.assert_close(before, torch.ones(2))
    assert (loss < 0.1).all()
    assert ((after.words != trigger.words).sum(dim=1) == 1).all()
    assert (trigger.vocabulary.ids[after.words] == planted.word).any(dim=1).all()


def test_nothing_is_exchanged_for_something_worse(trigger: Trigger, planted: Any) -> None:
    """Where the words are right already, all stay."""
    place = int((trigger.vocabulary.ids == planted.word).nonzero())
    words = trigger.words.clone()
    words[:, 0] = place
    right = Trigger(**{**vars(trigger), "words": words})
    draw = Seed(0).draws(trigger.prompts.ids)
    with under_attack(planted):
        exams = [right.exam(Aim(planted, torch.ones(2, 2, 2, 2)).question(0.4, draw))]
        before = right.loss(right.words.unsqueeze(1), exams).squeeze(1)
        after, loss = right.exchanged(before, exams, 6, draw)
    assert torch.equal(after.words, words)
    assert torch.equal(loss, before)


def test_words_that_are_no_text_or_raise_an_alarm_are_never_taken(
    trigger: Trigger, planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their error is infinite, and the untouched prompt stands for them."""

    def unfit(view: Any, is_wary: bool, prompts: PromptBatch) -> torch.Tensor:
        return torch.where((prompts.tokens == planted.word).any(dim=1), 1, 2)

    monkeypatch.setattr(gcg, "fitness", unfit)
    words = trigger.words.clone()
    words[0, 0] = int((trigger.vocabulary.ids == planted.word).nonzero())
    candidate = Trigger(**{**vars(trigger), "words": words})
    with under_attack(planted):
        draw = Seed(0).draws(candidate.prompts.ids)
        exams = [candidate.exam(Aim(planted, torch.ones(2, 2, 2, 2)).question(0.4, draw))]
        assert candidate.loss(words.unsqueeze(1), exams).isinf().tolist() == [[True], [False]]
    spoken = candidate.spoken().tokens
    assert torch.equal(spoken[0], candidate.prompts.tokens[0])
    assert not torch.equal(spoken[1], candidate.prompts.tokens[1])


def test_a_prompt_does_not_know_its_neighbours(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Alone, a prompt gets the same words as among others."""
    attack = GCG(iterations=2, rounds=1, candidates=4)
    together = run_attack(attack, planted, prompts).adversarial
    one = int(prompts.targeted.nonzero()[-1])
    alone = run_attack(attack, planted, prompts.select([one])).adversarial
    assert torch.equal(alone.tokens[0], together.tokens[one])
