"""An autoencoder without training: patches of 4 x 4 pixels on their principal components."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


class Exact:
    """A latent distribution without spread."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean

    def sample(self, generator: Any = None) -> Tensor:
        """The mean."""
        return self.mean

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean


class LinearPatchVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Pictures in [-1, 1] ↔ latents: a linear map, exact up to the components that it leaves out.

    It has what a Stable Diffusion pipeline asks of its autoencoder. `fit` finds components and scale.
    """

    components: Tensor
    mean: Tensor
    scale: Tensor

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        patch: int = 4,
        channels: int = 12,
        block_out_channels: Sequence[int] = (1, 1, 1),
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        size = 3 * patch * patch
        self.register_buffer("components", torch.eye(size)[:channels].clone())
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.zeros(()))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has been called (or fitted weights were loaded)."""
        return bool(self.scale > 0)

    @torch.no_grad()
    def fit(self, image: Float[Tensor, "batch 3 height width"]) -> None:
        """Take the principal components of the patches of these pictures; latents get a spread of 1."""
        patches = self._patches(image)
        flat = patches.permute(0, 2, 3, 1).flatten(0, 2)
        self.mean.copy_(flat.mean(dim=0))
        spread = torch.linalg.svd(flat - self.mean, full_matrices=False).Vh
        # The sign of a singular vector is arbitrary: the largest entry is positive.
        largest = spread.gather(1, spread.abs().argmax(dim=1, keepdim=True)).sign()
        self.components.copy_((spread * largest)[: len(self.components)])
        self.scale.copy_(((flat - self.mean) @ self.components.T).std())

    def _patches(self, image: Tensor) -> Tensor:
        found: Tensor = pixel_unshuffle(image, self.config.patch)
        return found

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """The latents, as a distribution without spread."""
        centred = self._patches(x) - self.mean.view(1, -1, 1, 1)
        latents = torch.einsum("kc,bchw->bkhw", self.components, centred) / self.scale
        found: Any = Exact(latents)
        return AutoencoderKLOutput(latent_dist=found) if return_dict else (found,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: Any = None) -> Any:
        """The pictures."""
        patches = torch.einsum("kc,bkhw->bchw", self.components, z * self.scale) + self.mean.view(1, -1, 1, 1)
        picture = pixel_shuffle(patches, self.config.patch)
        return DecoderOutput(sample=picture) if return_dict else (picture,)
