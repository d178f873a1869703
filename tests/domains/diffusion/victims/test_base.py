"""What every latent diffusion victim can do."""

import math

import pytest
import torch
from torch import nn

from robeval.arrays import Batch
from robeval.domains.diffusion import tokens
from robeval.domains.diffusion.batch import Denoising, PromptBatch
from robeval.domains.diffusion.victims.base import Around, generator, scaled_linear_alphas, with_soft
from robeval.domains.diffusion.victims.small import Small
from robeval.errors import PluginError


def test_injected_embeddings_reproduce_the_encoder(untrained: Small, prompts: PromptBatch) -> None:
    """The true embeddings, injected, give the text encoder's own hidden states."""
    own = untrained.text_encoder(input_ids=prompts.tokens).last_hidden_state
    assert torch.allclose(untrained.encode(untrained.embed(prompts.tokens)), own, atol=1e-6)
    assert not untrained.token_table._forward_hooks


def test_the_hook_is_gone_after_an_error(untrained: Small) -> None:
    """An encoder that fails leaves its table as it was."""
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever transformers raises for a wrong width
        untrained.encode(torch.zeros(1, 16, 3))
    assert not untrained.token_table._forward_hooks


def test_a_gradient_reaches_the_embeddings(untrained: Small, prompts: PromptBatch) -> None:
    """The predicted noise depends on the prompt's embeddings, differentiably."""
    embedded = untrained.embed(prompts.tokens).requires_grad_()
    latents = untrained.latent_noise(prompts.seed)
    asked = Denoising(prompts.ids, latents, torch.full_like(prompts.seed, 500), embedded)
    (slope,) = torch.autograd.grad(untrained(asked).noise.square().sum(), embedded)
    assert (slope.flatten(1).abs().sum(dim=1) > 0).all()


def test_pictures_do_not_depend_on_neighbours(untrained: Small, prompts: PromptBatch) -> None:
    """An example is drawn the same alone, in a batch and in another order."""
    whole = untrained(prompts).image
    alone = untrained(prompts.select([3])).image
    turned = untrained(prompts.select(torch.arange(len(prompts)).flip(0))).image
    assert torch.allclose(whole[3:4], alone, atol=1e-5)
    assert torch.allclose(whole, turned.flip(0), atol=1e-5)


def test_the_seed_fixes_the_picture(untrained: Small, prompts: PromptBatch) -> None:
    """Same seed, same picture; another seed, another one."""
    again = untrained(prompts.replace(seed=prompts.seed.clone())).image
    other = untrained(prompts.replace(seed=prompts.seed + 1)).image
    assert torch.equal(untrained(prompts).image, again)
    assert not torch.allclose(other, again, atol=1e-3)


def test_victims_read_text(untrained: Small, prompts: PromptBatch) -> None:
    """Ids that spell a word letter by letter draw what the word draws."""
    vocabulary = tokens.tokenizer_named(tokens.SHAPES).get_vocab()
    word = prompts.with_text(("ball",) * len(prompts))
    letters = torch.tensor([vocabulary[letter] for letter in "bal"] + [vocabulary["l</w>"]])
    spelled = prompts.with_text(("",) * len(prompts))
    spelled = spelled.replace(
        tokens=tokens.inserted(tokens.SHAPES, spelled.tokens, letters.expand(len(prompts), -1))
    )
    assert not torch.equal(spelled.tokens, word.tokens)
    assert torch.equal(untrained(spelled).image, untrained(word).image)


def test_guidance_mixes_with_and_without_text(untrained: Small, prompts: PromptBatch) -> None:
    """Guidance 0 ignores the prompt, 1 is the plain prediction, 3 extrapolates."""
    hidden, time = untrained.hidden(prompts), torch.full_like(prompts.seed, 700)
    latents = untrained.latent_noise(prompts.seed)
    empty = untrained.encode_text(("",)).expand_as(hidden)
    plain = untrained.predict_noise(latents, time, hidden)
    without = untrained.predict_noise(latents, time, empty)
    for guidance, wanted in ((0.0, without), (1.0, plain), (3.0, without + 3 * (plain - without))):
        assert torch.allclose(untrained.guided(latents, time, hidden, guidance), wanted, atol=1e-5)


def test_one_step_generators_take_one_step(untrained: Small, prompts: PromptBatch) -> None:
    """With `one_step_from` set, the latents are the x0-prediction from scaled noise."""
    hidden, time = untrained.hidden(prompts), torch.full_like(prompts.seed, 625)
    untrained.one_step_from.fill_(625)
    try:
        found = untrained.sample(hidden, prompts.seed)
    finally:
        untrained.one_step_from.fill_(0)
    alpha = float(untrained.alphas[625])
    start = math.sqrt(1 - alpha) * untrained.latent_noise(prompts.seed)
    noise = untrained.predict_noise(start, time, hidden)
    assert torch.allclose(found, (start - math.sqrt(1 - alpha) * noise) / math.sqrt(alpha), atol=1e-4)


def test_noising_keeps_the_variance(untrained: Small) -> None:
    """ᾱ is the signal's share: 1 at the start, next to nothing at the end."""
    alphas = scaled_linear_alphas()
    assert 0.999 < alphas[0] < 1
    assert alphas[-1] == pytest.approx(0.0047, abs=1e-3)
    ones, noise = torch.ones(1, 12, 8, 8), torch.zeros(1, 12, 8, 8)
    time = torch.tensor([300])
    assert torch.allclose(untrained.noised(ones, time, noise), alphas[300].sqrt() * ones)


def test_trajectory_ends_where_the_sample_does(untrained: Small, prompts: PromptBatch) -> None:
    """The latents before every step start with the noise and stand at falling timesteps."""
    hidden = untrained.hidden(prompts)
    latents, times = untrained.trajectory(hidden, prompts.seed, steps=3)
    assert len(latents) == len(times) == 3
    assert torch.equal(latents[0], untrained.latent_noise(prompts.seed))
    assert times == sorted(times, reverse=True)


def test_soft_slots_stand_behind_the_start() -> None:
    """Used slots come first, unused ones vanish, the end of the padding falls off."""
    embedded = torch.arange(1.0, 5).view(1, 4, 1).repeat(2, 1, 1)
    soft = torch.zeros(2, 2, 1)
    soft[0, 1] = 9.0
    assert with_soft(embedded, soft).squeeze(-1).tolist() == [[1, 9, 2, 3], [1, 2, 3, 4]]


def test_prompts_of_another_tokenizer_are_refused(untrained: Small, prompts: PromptBatch) -> None:
    """A victim does not read ids that another tokenizer made."""
    with pytest.raises(PluginError, match="model=shapes"):
        untrained.draw(prompts.replace(tokenizer="elsewhere"))


def test_other_questions_are_refused(untrained: Small) -> None:
    """Only prompts and denoising questions have an answer."""
    with pytest.raises(PluginError, match="not Batch"):
        untrained(Batch(("a",)))


def test_the_model_is_found_inside_wrappers(untrained: Small) -> None:
    """`generator` looks through wrappers and refuses what holds no model."""
    assert generator(Around(Around(untrained))) is untrained
    with pytest.raises(PluginError, match="Linear"):
        generator(nn.Linear(1, 1))
