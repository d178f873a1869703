"""A small, untrained victim and a few prompts of the embedded world; a tiny pipeline on disk."""

from pathlib import Path

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval_datasets.diffusion.synthetic import Synthetic


@pytest.fixture(scope="session")
def world() -> Synthetic:
    """The embedded world with few training pictures."""
    return Synthetic(train=128, prompts=4, retained=6)


@pytest.fixture
def prompts(world: Synthetic) -> PromptBatch:
    """Four prompts for circles and six for other shapes."""
    batch = world.split("test")
    assert isinstance(batch, PromptBatch)
    return batch


@pytest.fixture(scope="session")
def untrained(world: Synthetic) -> Small:
    """The small victim as it is drawn, its autoencoder fitted; it draws in 2 steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = Small(sampling_steps=2)
    victim.vae.fit(world.split("train").image * 2 - 1)
    # Drawn zeros and equal scales would hide what the prompt does.
    return victim.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion pipeline with a real AutoencoderKL, saved as safetensors."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from robeval.domains.diffusion.tokens import SHAPES, tokenizer_named

    with torch.random.fork_rng():
        torch.manual_seed(1)
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer_named(SHAPES)), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )
        )  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=4, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
        )  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=8,
        )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer_named(SHAPES), unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
