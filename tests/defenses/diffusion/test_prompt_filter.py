"""Refusing prompts."""

import torch

from robeval.domains.diffusion.batch import Denoising, PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.contracts import Detects
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_defenses.diffusion.prompt_filter import MeaningFilter, PromptFilter, WordFilter


def test_words_are_found_as_words(victim: Small, prompts: PromptBatch) -> None:
    """The concept and further phrases are refused; parts of other words and synonyms are not."""
    filtered = WordFilter(victim, ("circle", "Red  Disc"))
    texts = ("a circle", "circle river", "a red disc", "red square", "disc", "a ball", "the square", "red")
    assert (filtered.alarm(prompts.with_text(texts)) > 0).tolist() == [True] * 3 + [False] * 5


def test_refused_prompts_get_grey_pictures(
    victim: Small, training: TrainingOnly, prompts: PromptBatch
) -> None:
    """The others get the victim's own, and direct questions to the network pass."""
    filtered = PromptFilter(by="words").harden(victim, training, Seed(0))
    with torch.no_grad():
        plain, seen = victim(prompts).image, filtered(prompts).image
        assert bool((seen[prompts.targeted] == 0.5).all())
        assert torch.equal(seen[~prompts.targeted], plain[~prompts.targeted])
        question = Denoising(
            prompts.ids,
            victim.latent_noise(prompts.seed),
            torch.full((8,), 500),
            victim.embed(prompts.tokens),
        )
        assert torch.equal(filtered(question).noise, victim(question).noise)


def test_meaning_is_calibrated_on_other_captions(victim: Small, training: TrainingOnly) -> None:
    """A tenth of them is refused and nearly all that name the concept, by the text encoder's states alone."""
    filtered = PromptFilter(false_alarms=0.1, captions=64).harden(victim, training, Seed(0))
    assert isinstance(filtered, MeaningFilter)
    batch = training.split("train")
    assert isinstance(batch, PromptBatch)
    with torch.no_grad():
        refused = filtered.alarm(batch) > 0
    named = torch.tensor(["circle" in text.split() for text in batch.text])
    assert float(refused[~batch.targeted].float().mean()) < 0.25
    assert float(refused[named].float().mean()) > 0.9


def test_the_threshold_is_a_quantile(victim: Small) -> None:
    """On one axis: the line points from the others to the named, and a quarter of the others lies beyond."""
    filtered = MeaningFilter(victim)
    others, named = torch.zeros(8, 64), torch.zeros(8, 64)
    others[:, 0] = torch.arange(8.0)
    named[:, 0] = 100 + torch.arange(8.0)
    filtered.calibrate(named, others, 0.25)
    assert torch.allclose(filtered.direction[0], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(filtered.threshold, torch.tensor(5.25), atol=1e-3)


def test_soft_slots_are_read_and_have_a_gradient(
    victim: Small, training: TrainingOnly, prompts: PromptBatch
) -> None:
    """An attacker can follow the alarm; used slots move the place of the end, unused ones change nothing."""
    filtered = PromptFilter(captions=16).harden(victim, training, Seed(0))
    assert isinstance(filtered, MeaningFilter)
    assert isinstance(filtered, Detects)
    soft = torch.zeros_like(prompts.soft)
    plain = filtered.alarm(prompts)
    soft[:, :2] = victim.token_table.weight[5:7].detach()
    soft.requires_grad_()
    alarm = filtered.alarm(prompts.replace(soft=soft))
    (slope,) = torch.autograd.grad(alarm.sum(), soft)
    assert bool((slope[:, :2] != 0).any())
    assert not torch.allclose(alarm, plain)
    spelled = filtered.alarm(_with_front(prompts, (5, 6)))
    assert torch.allclose(alarm, spelled, atol=1e-4)


def _with_front(prompts: PromptBatch, tokens: tuple[int, int]) -> PromptBatch:
    """The prompts with two tokens in front, not passed through text."""

    class Raw(PromptBatch):
        def as_text(self) -> PromptBatch:
            return self

    front = torch.tensor([tokens]).expand(len(prompts), -1)
    moved = torch.cat([prompts.tokens[:, :1], front, prompts.tokens[:, 1:-2]], dim=1)
    values = {name: getattr(prompts, name) for name in prompts.__dataclass_fields__}
    return Raw(**{**values, "tokens": moved})


def test_rows_are_filtered_on_their_own(victim: Small, training: TrainingOnly, prompts: PromptBatch) -> None:
    """A prompt's alarm does not depend on its neighbours."""
    filtered = PromptFilter(captions=16).harden(victim, training, Seed(0))
    assert isinstance(filtered, MeaningFilter)
    with torch.no_grad():
        together, alone = filtered.alarm(prompts), filtered.alarm(prompts.select([2]))
    assert torch.allclose(together[2:3], alone, atol=1e-5)
