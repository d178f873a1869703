"""The embedded text-to-image model."""

import copy
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import judge_of
from robeval.domains.diffusion.metrics import seen
from robeval.domains.diffusion.victims.small import Small, spread_timesteps
from robeval_datasets.diffusion.synthetic import Synthetic


def fitted(victim: Small, data: Synthetic, steps: int) -> Small:
    """The victim after `steps` of Trainer.fit."""
    data.train_batch_size = victim.train_batch_size
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        gradient_clip_val=1.0,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(victim, data.train_dataloader())
    return victim.eval()


def test_size_and_cross_attention_are_as_specified(untrained: Small) -> None:
    """1 082 188 weights in the UNet, 84 320 of them cross-attention, 45 056 of these keys and values."""
    named = {name: value.numel() for name, value in untrained.unet.named_parameters()}
    assert sum(named.values()) == 1_082_188
    assert sum(n for name, n in named.items() if ".attn2." in name) == 84_320
    assert sum(n for name, n in named.items() if ".attn2.to_k" in name or ".attn2.to_v" in name) == 45_056


def test_training_lowers_the_loss_and_keeps_the_average(world: Synthetic) -> None:
    """A few steps lower the loss; the kept weights are the averages, and a state dict restores them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = Small(steps=12)
        victim.train_batch_size = 32
        batch = world.split("train")

        def loss() -> float:
            torch.manual_seed(1)
            with torch.no_grad():
                return float(victim.loss(batch).mean())

        before = loss()
        fitted(victim, world, 12)
        assert loss() < before
        again = Small(steps=12)
    again.load_state_dict(victim.state_dict())
    tokens = world.split("test").tokens
    assert torch.equal(again.eval().encode(again.embed(tokens)), victim.encode(victim.embed(tokens)))
    assert again.vae.is_fitted
    assert not victim._averages


def test_the_loss_is_per_example(world: Synthetic, untrained: Small) -> None:
    """One finite loss per picture."""
    batch = world.split("train").select(slice(0, 5))
    loss = untrained.loss(batch)
    assert loss.shape == (5,)
    assert loss.isfinite().all()


def test_attention_written_out_says_the_same_as_the_fused_one(world: Synthetic, untrained: Small) -> None:
    """The way that attention is computed is a matter of time only."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    batch = world.split("train").select(slice(0, 4))
    latents, hidden = untrained.to_latents(batch.image), untrained.encode(untrained.embed(batch.tokens))
    moment = torch.tensor([10, 200, 500, 900])
    other = copy.deepcopy(untrained)
    other.unet.set_attn_processor(AttnProcessor2_0())
    with torch.no_grad():
        written_out = untrained.predict_noise(latents, moment, hidden)
        fused = other.predict_noise(latents, moment, hidden)
    torch.testing.assert_close(written_out, fused, atol=1e-5, rtol=1e-4)


def test_timesteps_are_spread_over_a_batch() -> None:
    """Eight rows have one timestep of every eighth, in random order, and all timesteps can come up."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = torch.stack([spread_timesteps(8, 1000) for _ in range(4000)])
    assert torch.equal((drawn // 125).sort(dim=1).values, torch.arange(8).expand(4000, 8))
    assert len({tuple(row) for row in (drawn // 125).tolist()}) > 3000
    assert set(drawn.flatten().tolist()) == set(range(1000))


@pytest.mark.slow
def test_the_trained_model_draws_what_the_prompt_says() -> None:
    """Right captions give right pictures (A7 of the specification), wrong captions wrong ones."""
    data = Synthetic(prompts=20, retained=45)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = fitted(Small(), data, Small().steps)
    prompts = data.split("test")
    assert isinstance(prompts, PromptBatch)
    with torch.no_grad():
        right = seen(prompts, victim(prompts).image)
        turned = prompts.replace(tokens=prompts.tokens.roll(1, dims=0))
        wrong = seen(prompts, victim(turned).image)
    shape, texture, colour = right.right.mean(dim=0).tolist()
    assert shape >= 0.9
    assert texture >= 0.8
    assert colour >= 0.9
    # A neighbour's caption is obeyed instead: judged by its own labels it is right, by these it is not.
    assert float(wrong.right[:, 2].mean()) < 0.3
    heads = judge_of(prompts).by_head(judge_of(prompts)(victim(turned).image))
    said = prompts.labels.roll(1, dims=0)
    assert float((heads[2].argmax(dim=1) == said[:, 2]).float().mean()) >= 0.9
