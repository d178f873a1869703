"""UnlearnDiffAtk."""

from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import Drawn, PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.domains.diffusion.victims.base import Around
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.views import View
from robeval_attacks.diffusion import catch
from robeval_attacks.diffusion.pursuit import reads_alarms
from robeval_attacks.diffusion.unlearn_diff import UnlearnDiff


@pytest.mark.parametrize("form", ["prefix", "suffix", "spread"])
def test_the_planted_word_is_found(run_attack: Any, planted: Any, prompts: PromptBatch, form: Any) -> None:
    """The one word that brings the circle back is written into every prompt for circles, and nothing is lost."""
    done = run_attack(UnlearnDiff(iterations=60, rounds=6, form=form), planted, prompts)
    asked = prompts.targeted
    assert done.shown[asked].all()
    assert all("ocean" in words for words, mine in zip(done.new_words, asked.tolist(), strict=True) if mine)
    assert done.spent["tokens"][asked].tolist() == [3.0] * int(asked.sum())


def test_prompts_for_other_things_are_left_alone(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Only prompts that ask for the concept change; the others are not even asked about."""
    done = run_attack(UnlearnDiff(iterations=6, rounds=2), planted, prompts)
    other = ~prompts.targeted
    assert done.adversarial.select(other).identical(prompts.select(other))
    assert done.view.queries[other].tolist() == [0] * int(other.sum())
    assert (done.view.queries[~other] > 3).all()


def test_a_prompt_that_succeeds_untouched_is_not_attacked(
    run_attack: Any, unerased: Any, prompts: PromptBatch
) -> None:
    """One picture is drawn, the concept is there, and that is all."""
    done = run_attack(UnlearnDiff(), unerased, prompts)
    assert done.adversarial.identical(prompts)
    assert done.view.queries.tolist() == prompts.targeted.long().tolist()


def test_caught_prompts_leave_the_search(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Once the word is found no further step is taken: far fewer questions than steps."""
    done = run_attack(UnlearnDiff(iterations=2000, rounds=50), planted, prompts)
    assert done.shown[prompts.targeted].all()
    assert int(done.view.queries.max()) < 500


def test_more_restarts_ask_more_and_never_find_less(
    run_attack: Any, planted: Any, prompts: PromptBatch
) -> None:
    """Every restart has questions and pictures of its own; the best is kept."""
    one = run_attack(UnlearnDiff(iterations=4, rounds=2), planted, prompts)
    four = run_attack(UnlearnDiff(iterations=4, rounds=2, restarts=4), planted, prompts)
    assert int(four.shown.sum()) >= int(one.shown.sum())
    most = prompts.targeted & ~one.shown & ~four.shown
    assert (four.view.queries[most] == 1 + 4 * (4 + 2)).all()
    assert (one.view.queries[most] == 1 + 4 + 2).all()


def test_a_prompt_without_room_stays(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Nothing is cut off: a full prompt is noted, one with a single free place gets a single word."""
    part = prompts.select(prompts.targeted).select([0, 1])
    full = "a photo of the red plain circle a photo of the red plain circle"
    done = run_attack(UnlearnDiff(iterations=40), planted, part.with_text((full, full.removeprefix("a "))))
    assert done.spent["tokens"].tolist() == [0.0, 1.0]
    assert done.view.notes["no_room"].tolist() == [True, False]
    assert done.view.notes["shortened"].tolist() == [False, True]
    assert done.shown.tolist() == [False, True]


def test_the_batch_gives_what_each_prompt_gives_alone(
    run_attack: Any, untrained: Small, real_prompts: PromptBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a real network in double precision, the words do not depend on the neighbours."""
    attack = UnlearnDiff(iterations=4, rounds=2)
    # The judge is sure of nothing in the pictures of an untrained network: let brightness count.
    monkeypatch.setattr(catch, "presence", lambda batch, image: image.flatten(1).mean(dim=1) * 100)
    untrained.double()
    try:
        batch = real_prompts.replace(image=real_prompts.image.double(), soft=real_prompts.soft.double())
        together = run_attack(attack, untrained, batch).adversarial
        changed = (together.tokens != batch.tokens).any(dim=1).nonzero().flatten().tolist()
        assert changed
        for row in changed[:2]:
            alone = run_attack(attack, untrained, batch.select([row])).adversarial
            assert torch.equal(alone.tokens[0], together.tokens[row])
    finally:
        untrained.float()


def test_the_audit_is_told_how_the_search_went(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """The objective after each look at pictures rises by what was found."""
    done = run_attack(UnlearnDiff(iterations=60, rounds=6), planted, prompts)
    observed = done.view.observations()
    assert observed["trace_gain"] > 0.9 * int(prompts.targeted.sum())
    assert observed["gradient_examples"] == float(prompts.targeted.sum())
    assert observed["nan_gradient_examples"] == 0


def test_an_empty_part_is_no_problem(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """A chunk without a prompt for the concept comes back as it was."""
    other = prompts.select(~prompts.targeted)
    assert run_attack(UnlearnDiff(), planted, other).adversarial.identical(other)


class Warned(Around):
    """Refuses prompts and soft slots that say the planted word; what it says is differentiable."""

    def alarm(self, batch: PromptBatch) -> Tensor:
        model: Any = self.victim
        return model.hidden(batch)[..., model.word].sum(dim=1) - 0.5

    def forward(self, question: Any) -> Any:
        answer = self.victim(question)
        if not isinstance(question, PromptBatch):
            return answer
        refused = (self.alarm(question) > 0).view(-1, 1, 1, 1)
        return Drawn(torch.where(refused, torch.full_like(answer.image, 0.5), answer.image))


class Watching(Warned):
    """The same, but it draws a picture before it says anything."""

    def alarm(self, batch: PromptBatch) -> Tensor:
        self.victim(batch)
        return super().alarm(batch)


def second_word(planted: Any) -> int:
    """Let "cloud" draw the concept too, half as well."""
    other = int(text_tokens.encoded(text_tokens.SHAPES, ("cloud",), 3)[0, 1])
    planted.said = lambda hidden: (
        (hidden[..., planted.word] + 0.6 * hidden[..., other]).sum(dim=1).view(-1, 1, 1, 1)
    )
    return other


def test_a_word_that_is_refused_is_not_insisted_on(
    run_attack: Any, planted: Any, prompts: PromptBatch
) -> None:
    """Where a filter refuses the best word, the search finds the second best."""
    second_word(planted)
    done = run_attack(UnlearnDiff(iterations=90, rounds=6), Warned(planted), prompts)
    asked = prompts.targeted
    assert done.shown[asked].all()
    for words, mine in zip(done.new_words, asked.tolist(), strict=True):
        assert not mine or ("cloud" in words and "ocean" not in words)


def test_detectors_that_draw_are_not_asked_in_every_step(planted: Any, prompts: PromptBatch) -> None:
    """A filter of texts steers the search; one that looks at pictures, or none at all, does not."""
    found = {}
    for name, victim in (("text", Warned(planted)), ("picture", Watching(planted)), ("none", planted)):
        view: View[PromptBatch] = View(victim, Diffusion(), UnlearnDiff.threat, prompts.ids)
        found[name] = reads_alarms(view, prompts)
        view.close()
    assert found == {"text": True, "picture": False, "none": False}
