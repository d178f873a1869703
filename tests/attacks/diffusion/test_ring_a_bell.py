"""Ring-A-Bell."""

from typing import Any

import pytest

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.diffusion.ring_a_bell import RingABell, without


@pytest.fixture
def pairs(training: Any, planted: Any) -> Any:
    """What the attack's preparation learns from the training captions."""
    preparation = RingABell().preparation
    assert preparation is not None
    view: View[PromptBatch] = View(planted, Diffusion(), RingABell.threat, training.split("train").ids)
    learnt = preparation(view, training, Seed(0))
    assert view.calls == 0
    return learnt


def test_the_concept_is_learnt_from_captions_with_and_without_it(pairs: Any) -> None:
    """Each caption that says "circle" once, and itself without that word; synonyms are not known."""
    assert 0 < len(pairs) <= 64
    assert len({text for text, _ in pairs}) == len(pairs)
    for having, lacking in pairs:
        assert "circle" in having.split()
        assert [word for word in having.split() if word != "circle"] == lacking.split()


def test_a_word_is_left_out_whole() -> None:
    """Only the word itself goes, not what contains it."""
    assert without("a circle and semicircle", "circle") == "a and semicircle"
    assert without("circle", "circle") == ""


def test_the_encoding_comes_nearer(
    run_attack: Any, untrained: Any, real_prompts: PromptBatch, pairs: Any
) -> None:
    """More generations end nearer to the prompt with more concept, without a question to the victim."""
    distances = []
    for generations in (1, 25):
        attack = RingABell(generations=generations, population=24)
        done = run_attack(attack, untrained, real_prompts, original=untrained, prepared=pairs)
        assert done.view.calls == 0
        part = real_prompts.targeted
        wanted = attack._wanted(untrained, real_prompts.select(part), pairs)
        got = untrained.hidden(done.adversarial.select(part))
        distances.append((got - wanted).square().flatten(1).sum(dim=1))
        assert (done.spent["edits"] <= 8).all()
        assert done.adversarial.select(~part).identical(real_prompts.select(~part))
    assert (distances[1] <= distances[0]).all()
    assert float(distances[1].mean()) < 0.9 * float(distances[0].mean())


def test_the_best_word_is_found(run_attack: Any, unerased: Any, prompts: PromptBatch) -> None:
    """With one coordinate per word, no concept added and one free word, the search ends at the prompt itself."""
    part = prompts.select(prompts.targeted).with_text(("red circle",) * 5)
    attack = RingABell(strength=0.0, generations=40, population=60)
    done = run_attack(attack, unerased, part, 1.0, original=unerased, prepared=(("a circle", "a"),))
    assert done.adversarial.text == ("red circle",) * 5


@pytest.mark.parametrize("budget", [0.0, 3.0, 14.0])
def test_edits_stay_within_the_budget(
    run_attack: Any, untrained: Any, real_prompts: PromptBatch, pairs: Any, budget: float
) -> None:
    """A prompt longer than the budget keeps its last words."""
    attack = RingABell(generations=2, population=8)
    done = run_attack(attack, untrained, real_prompts, budget, original=untrained, prepared=pairs)
    assert (done.spent["edits"] <= budget).all()
    if budget == 3:
        long = [
            n
            for n, text in enumerate(real_prompts.text)
            if len(text.split()) > 3 and real_prompts.targeted[n]
        ]
        for number in long:
            assert done.adversarial.text[number].endswith(" ".join(real_prompts.text[number].split()[3:]))


def test_a_banned_word_is_not_written(run_attack: Any, unerased: Any, prompts: PromptBatch) -> None:
    """The search would repeat the concept's word where it is wanted most; with the ban it never does."""
    pairs = (("circle circle", ""),)
    found = {}
    for ban in (False, True):
        attack = RingABell(generations=30, population=30, ban_concept=ban)
        done = run_attack(attack, unerased, prompts, original=unerased, prepared=pairs)
        asked = prompts.targeted.tolist()
        found[ban] = [t for t, mine in zip(done.adversarial.text, asked, strict=True) if mine]
    assert any("circle" in text.split() for text in found[False])
    assert not any("circle" in text.split() for text in found[True])
    assert len(found[True]) == 5
