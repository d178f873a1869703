"""Withholding pictures."""

import pytest
import torch

from robeval.domains.diffusion.batch import Denoising, PromptBatch
from robeval.domains.diffusion.judging import presence
from robeval.domains.diffusion.victims.small import Small
from robeval.errors import DataError, MissingFile
from robeval.plugins.contracts import Detects
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_datasets.diffusion.synthetic import Synthetic
from robeval_defenses.diffusion.classifier_guard import ClassifierGuard, Guarded, NamedGuard
from robeval_defenses.diffusion.guard import told, trained_guard


class Brightness(torch.nn.Module):
    """A guard against bright pictures."""

    def forward(self, batch: PromptBatch, image: torch.Tensor) -> torch.Tensor:
        """The mean brightness."""
        return image.flatten(1).mean(dim=1)


def test_pictures_beyond_the_threshold_are_grey(victim: Small, prompts: PromptBatch) -> None:
    """The others are the victim's own; the alarm is the distance to the threshold; direct questions pass."""
    with torch.no_grad():
        plain = victim(prompts).image
        bright = Brightness()(prompts, plain)
        threshold = float(bright.median()) + 1e-6
        guarded = Guarded(victim, Brightness(), threshold)
        seen = guarded(prompts).image
        stopped = bright >= threshold
        assert 0 < int(stopped.sum()) < len(prompts)
        assert bool((seen[stopped] == 0.5).all())
        assert torch.equal(seen[~stopped], plain[~stopped])
        assert isinstance(guarded, Detects)
        assert torch.allclose(guarded.alarm(prompts), bright - threshold, atol=1e-6)
        question = Denoising(
            prompts.ids,
            victim.latent_noise(prompts.seed),
            torch.full((8,), 500),
            victim.embed(prompts.tokens),
        )
        assert torch.equal(guarded(question).noise, victim(question).noise)


def test_a_guard_learns_from_pictures() -> None:
    """After 60 steps on 600 pictures it finds most circles among others, and the same seed learns the same."""
    data = TrainingOnly(Synthetic(train=600, prompts=1, retained=1))
    guard, same = (trained_guard(data, 60, Seed(0)) for _ in range(2))
    batch = data.split("val")
    assert isinstance(batch, PromptBatch)
    sure = guard(batch, batch.image)
    assert torch.equal(sure, same(batch, batch.image))
    right = (sure > 0.5) == batch.targeted
    assert float(right[batch.targeted].float().mean()) > 0.7
    assert float(right[~batch.targeted].float().mean()) > 0.7
    assert not any(weight.requires_grad for weight in guard.parameters())


def test_broken_pictures_show_nothing() -> None:
    """A picture with NaN has probability 0."""
    data = TrainingOnly(Synthetic(train=128, prompts=1, retained=1))
    guard = trained_guard(data, 1, Seed(0))
    batch = data.split("val").select(slice(0, 2))
    assert isinstance(batch, PromptBatch)
    image = batch.image.clone()
    image[0, 0, 0, 0] = torch.nan
    sure = guard(batch, image)
    assert float(sure[0]) == 0
    assert float(sure[1]) > 0


def test_captions_that_do_not_say_are_no_examples() -> None:
    """With a colour as the concept, "a square" may well be red."""
    train = Synthetic(concept="red", train=256).split("train")
    assert isinstance(train, PromptBatch)
    used = told(train)
    assert bool((used.labels[:, 2] >= 0).all())
    assert int(used.targeted.sum()) == int(train.targeted.sum())
    assert len(used) < len(train)


def test_without_pictures_a_classifier_is_asked_for(world: Synthetic) -> None:
    """The message says how many there are and what to write."""
    train = world.split("train")
    assert isinstance(train, PromptBatch)
    blind = world.with_train(train.replace(image=torch.full_like(train.image, torch.nan)))
    with pytest.raises(DataError, match=r"0 that show 'circle'(.|\n)*classifier-guard:classifier="):
        trained_guard(TrainingOnly(blind), 1, Seed(0))


def test_a_classifier_by_name(victim: Small, training: TrainingOnly, prompts: PromptBatch) -> None:
    """It answers as the judge of that name does; an unknown one is an error that names it."""
    named = ClassifierGuard(classifier="shapes").harden(victim, training, Seed(0))
    assert isinstance(named, Guarded)
    assert isinstance(named.guard, NamedGuard)
    with torch.no_grad():
        assert torch.allclose(named.guard(prompts, prompts.image), presence(prompts, prompts.image))
        named(prompts)
    with pytest.raises((DataError, MissingFile), match="nowhere-to-be-found"):
        ClassifierGuard(classifier="./nowhere-to-be-found").harden(victim, training, Seed(0))(prompts)
