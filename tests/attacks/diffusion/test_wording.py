"""From scores of tokens to text."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.domains.diffusion.victims.base import Around
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval_attacks.diffusion import wording
from robeval_attacks.diffusion.places import places
from robeval_attacks.diffusion.pursuit import reads_alarms
from robeval_attacks.diffusion.wording import Vocabulary, choices, spoken


class Filter(Around):
    """Raises an alarm for one word."""

    def __init__(self, victim: nn.Module, word: str) -> None:
        super().__init__(victim)
        self.word = word

    def alarm(self, batch: Any) -> Tensor:
        return torch.tensor([1.0 if self.word in text.split() else -1.0 for text in batch.as_text().text])


def view_of(victim: nn.Module, prompts: PromptBatch) -> View[PromptBatch]:
    """A view with weights and gradients."""
    return View(victim, Diffusion(), ThreatModel("white-box", Budget("tokens", "tokens", 3.0)), prompts.ids)


def scored(vocabulary: Vocabulary, rows: int, *wanted: list[str]) -> Tensor:
    """Scores that rank the given words first, for each place."""
    score = torch.zeros(rows, len(wanted), len(vocabulary.ids))
    for place, words in enumerate(wanted):
        for rank, word in enumerate(words):
            number = int(text_tokens.encoded(text_tokens.SHAPES, (word,), 3)[0, 1])
            score[:, place, int((vocabulary.ids == number).nonzero())] = 1.0 - 0.1 * rank
    return score


def said(victim: nn.Module, prompts: PromptBatch, planted: Any, *wanted: list[str]) -> tuple[str, ...]:
    """What is said in front of the prompts for these rankings."""
    vocabulary = Vocabulary.of(planted, prompts.tokenizer)
    free = places(prompts.tokenizer, prompts.tokens, "prefix", len(wanted))
    view = view_of(victim, prompts)
    score = scored(vocabulary, len(prompts), *wanted)
    return spoken(view, reads_alarms(view, prompts), prompts, free, score, vocabulary).text


def test_the_best_words_are_said(planted: Any, prompts: PromptBatch) -> None:
    """Each place takes its first word, in front of the prompt."""
    found = said(planted, prompts, planted, ["ocean", "cloud"], ["winter", "stone"])
    assert found == tuple(f"ocean winter {text}" for text in prompts.text)


def test_a_word_that_raises_an_alarm_is_avoided(planted: Any, prompts: PromptBatch) -> None:
    """The next choice is the smallest step down that the detector lets pass."""
    guarded = Filter(planted, "ocean")
    found = said(guarded, prompts, planted, ["ocean", "cloud", "stone"], ["winter", "paper"])
    assert found == tuple(f"cloud winter {text}" for text in prompts.text)


def test_where_every_choice_alarms_the_best_is_said(planted: Any, prompts: PromptBatch) -> None:
    """A detector that no words calm does not stop the search."""
    guarded = Filter(planted, "a")
    with_a = prompts.select([number for number, text in enumerate(prompts.text) if "a" in text.split()])
    found = said(guarded, with_a, planted, ["ocean", "cloud"], ["winter", "paper"])
    assert found == tuple(f"ocean winter {text}" for text in with_a.text)


def test_words_that_are_read_otherwise_are_passed_over(
    planted: Any, prompts: PromptBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice that does not survive being text gives way to the next; with none left the prompt stays as it was."""
    ocean = planted.word

    def without_ocean(name: str, tokens: Tensor) -> Tensor:
        return (tokens != ocean).all(dim=1)

    monkeypatch.setattr(wording, "survives", without_ocean)
    assert said(planted, prompts, planted, ["ocean", "cloud"]) == tuple(
        f"cloud {text}" for text in prompts.text
    )
    monkeypatch.setattr(wording, "survives", lambda name, tokens: torch.zeros(len(tokens), dtype=torch.bool))
    assert said(planted, prompts, planted, ["ocean", "cloud"]) == prompts.text


def test_choices_begin_with_the_best_and_step_down() -> None:
    """Two places of three ranks: the best, one step, two steps; never more than the ranks there are."""
    assert choices(2, 3).tolist() == [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    assert choices(1, 2).tolist() == [[0], [1]]
    assert len(choices(20, 3)) == wording.CHOICES
