"""A text-to-image model that is trained in minutes, from the same parts as Stable Diffusion."""

import itertools
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import LatentDiffusion, scaled_linear_alphas
from robeval.domains.diffusion.victims.patch_vae import LinearPatchVAE

MOST_WEIGHT = 10.0
"""Of a timestep in the loss: 1/ᾱ weighs noisy latents, where the text decides, up to this."""


class Small(LatentDiffusion):
    """A CLIP text encoder, a UNet with cross-attention and a linear patch autoencoder: 1.2 million weights.

    For the embedded world (32 x 32 pixels, latents 12 x 8 x 8). Trained with ε-prediction, 12 % empty captions,
    AdamW on a one-cycle schedule and an average of the weights.

    Source: latent diffusion (Rombach et al., arXiv 2112.10752).
    Differs: Stable Diffusion's text encoder comes trained on pictures (CLIP). Ours starts from nothing and learns words
    from the noise alone. What taught it faster (a linear map from its states to the pictures) tied rare words so
    closely to the common one that erasing one erased the others, and searches found little more than chance.
    """

    learning_rate = 4e-3

    def __init__(
        self,
        steps: Annotated[int, Field(ge=1, description="training steps")] = 1000,
        train_batch_size: Annotated[int, Field(ge=1, description="pictures in a training step")] = 64,
        sampling_steps: Annotated[int, Field(ge=1, le=1000, description="DDIM steps of a picture")] = 15,
        guidance: Annotated[float, Field(ge=0, description="classifier-free guidance")] = 3.0,
        channels: Annotated[
            int, Field(ge=8, multiple_of=8, description="width of the UNet's first block")
        ] = 32,
        checkpoint: Annotated[str | None, Field(description="weights to load instead of training")] = None,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DConditionModel
        from diffusers.models.attention_processor import AttnProcessor
        from transformers import CLIPTextConfig, CLIPTextModel

        self.steps, self.train_batch_size = steps, train_batch_size
        self.sampling_steps, self.guidance = sampling_steps, guidance
        self.checkpoint = checkpoint
        self.tokenizer = text_tokens.SHAPES
        vocabulary = text_tokens.tokenizer_named(text_tokens.SHAPES)
        start, end = text_tokens.special_ids(text_tokens.SHAPES)
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=text_tokens.SHAPES_LENGTH,
                bos_token_id=start,
                eos_token_id=end,
                pad_token_id=end,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=12,
            out_channels=12,
            block_out_channels=(channels, 2 * channels),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        # Heads of 8 and 16 are too narrow for torch's fused attention, and its convolutions prefer channels last.
        self.unet.set_attn_processor(AttnProcessor())
        self.unet.to(memory_format=torch.channels_last)
        self.vae = LinearPatchVAE(patch=4, channels=12)
        self.register_buffer("alphas", scaled_linear_alphas())
        self.register_buffer("one_step_from", torch.zeros((), dtype=torch.long))
        self._averages: dict[str, AveragedModel] = {}

    def loss(self, batch: PromptBatch) -> Float[Tensor, " batch"]:
        """Weighted error of the predicted noise; captions are dropped for 12 % of the pictures.

        Timesteps (spread evenly over the batch) and noise come from torch's generator, which the engine seeds for a
        training.
        """
        if not self.vae.is_fitted:
            self.vae.fit(batch.image * 2 - 1)
        latents = self.to_latents(batch.image)
        noise = torch.randn_like(latents)
        timestep = spread_timesteps(len(batch), self.timesteps).to(latents.device)
        empty = text_tokens.encoded(self.tokenizer, ("",), self.length).to(latents.device)
        dropped = torch.rand(len(batch), 1, device=latents.device) < 0.12
        tokens = torch.where(dropped, empty, batch.tokens)
        hidden = self.encode(self.embed(tokens))
        found = self.predict_noise(self.noised(latents, timestep, noise), timestep, hidden)
        weight = (1 / self.alphas[timestep]).clamp_max(MOST_WEIGHT)
        return weight * (found - noise).square().flatten(1).mean(dim=1)

    def configure_optimizers(self) -> Any:
        """AdamW on one cycle."""
        trained = itertools.chain(self.unet.parameters(), self.text_encoder.parameters())
        optimizer = torch.optim.AdamW(trained, lr=self.learning_rate, betas=(0.9, 0.99), fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=self.steps + 1, pct_start=0.1, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_train_start(self) -> None:
        """Start the averages."""
        self._averages = {
            name: AveragedModel(getattr(self, name), multi_avg_fn=get_ema_multi_avg_fn(0.99))  # type: ignore[no-untyped-call]
            for name in ("unet", "text_encoder")
        }

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averages."""
        for name, average in self._averages.items():
            average.update_parameters(getattr(self, name))

    def on_train_end(self) -> None:
        """Keep the averages instead of the last weights."""
        for name, average in self._averages.items():
            getattr(self, name).load_state_dict(average.module.state_dict())
        self._averages = {}


def spread_timesteps(rows: int, timesteps: int) -> Int64[Tensor, " rows"]:
    """One uniform timestep a row, each from its own of `rows` equal ranges: the loss of a batch varies less."""
    place = (torch.randperm(rows) + torch.rand(rows)) / rows
    return (place * timesteps).long().clamp_max(timesteps - 1)
