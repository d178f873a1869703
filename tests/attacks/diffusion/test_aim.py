"""What a victim's network is asked, and what it should answer."""

from typing import Any

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval.seeding import Seed
from robeval_attacks.diffusion.aim import Aim, Imitation, target_latents


def test_the_noise_is_what_was_mixed_in(untrained: Small, real_prompts: PromptBatch) -> None:
    """Latents are the picture's and the noise by the schedule, at the level that the progress names."""
    latents = untrained.to_latents(real_prompts.image)
    asked = Aim(untrained, latents).question(0.3125, Seed(0).draws(real_prompts.ids))
    assert asked.timestep.tolist() == [312] * len(real_prompts)
    share = untrained.alphas[312]
    torch.testing.assert_close(asked.latents, share.sqrt() * latents + (1 - share).sqrt() * asked.noise)
    assert abs(float(asked.noise.std()) - 1) < 0.05


def test_a_one_step_generator_is_asked_for_its_step(untrained: Small, real_prompts: PromptBatch) -> None:
    """Answering with the wanted noise would end the one step exactly at the picture."""
    latents = untrained.to_latents(real_prompts.image)
    untrained.one_step_from.fill_(625)
    try:
        asked = Aim(untrained, latents).question(0.1, Seed(0).draws(real_prompts.ids))
    finally:
        untrained.one_step_from.fill_(0)
    assert asked.timestep.tolist() == [625] * len(real_prompts)
    share = untrained.alphas[625]
    ended = (asked.latents - (1 - share).sqrt() * asked.noise) / share.sqrt()
    torch.testing.assert_close(ended, latents, atol=1e-4, rtol=1e-4)


def test_imitation_wants_the_originals_answer_to_the_plain_prompt(
    untrained: Small, real_prompts: PromptBatch
) -> None:
    """Timesteps are drawn for each prompt, and the wanted noise is what the original finds there."""
    latents, hidden = untrained.to_latents(real_prompts.image), untrained.hidden(real_prompts)
    aim = Imitation(untrained, latents, rising=False, original=untrained, hidden=hidden)
    asked = aim.question(0.5, Seed(0).draws(real_prompts.ids))
    assert len(set(asked.timestep.tolist())) > 1
    wanted = untrained.predict_noise(asked.latents, asked.timestep, hidden)
    torch.testing.assert_close(asked.noise, wanted, atol=1e-5, rtol=1e-4)
    one = torch.tensor([3])
    alone = aim.select(one).question(0.5, Seed(0).draws(real_prompts.ids[3:4]))
    assert int(alone.timestep) == int(asked.timestep[3])


def test_a_prompt_without_a_picture_takes_the_originals(untrained: Small, real_prompts: PromptBatch) -> None:
    """Where the picture is NaN the original draws it from the prompt's own seed; the others are not drawn."""
    image = real_prompts.image.clone()
    image[1] = torch.nan
    batch = real_prompts.replace(image=image)
    found = target_latents(untrained, batch, lambda: untrained)
    torch.testing.assert_close(found[0], untrained.to_latents(real_prompts.image[:1])[0])
    row = real_prompts.select([1])
    torch.testing.assert_close(found[1], untrained.sample(untrained.hidden(row), row.seed)[0])

    def nobody() -> Any:
        pytest.fail("the original was asked without need")

    target_latents(untrained, real_prompts, nobody)
