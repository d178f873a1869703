"""An autoencoder without training: patches of 4 x 4 pixels on their principal components."""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


class Exact(NamedTuple):
    """A latent distribution without spread."""

    mean: Tensor


class Encoded(NamedTuple):
    """What diffusers' autoencoders answer to `encode`."""

    latent_dist: Exact


class Decoded(NamedTuple):
    """What diffusers' autoencoders answer to `decode`."""

    sample: Tensor


class LinearPatchVAE(nn.Module):
    """Pictures in [-1, 1] ↔ latents: a linear map, exact up to the components that it leaves out.

    It is called as diffusers' AutoencoderKL is. `fit` finds components and scale; they are weights.
    """

    components: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, patch: int = 4, channels: int = 12) -> None:
        super().__init__()
        size = 3 * patch * patch
        self.patch = patch
        self.config = SimpleNamespace(scaling_factor=1.0)
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
        flat = pixel_unshuffle(image, self.patch).permute(0, 2, 3, 1).flatten(0, 2)
        self.mean.copy_(flat.mean(dim=0))
        spread = torch.linalg.svd(flat - self.mean, full_matrices=False).Vh
        # The sign of a singular vector is arbitrary: the largest entry is positive.
        largest = spread.gather(1, spread.abs().argmax(dim=1, keepdim=True)).sign()
        self.components.copy_((spread * largest)[: len(self.components)])
        self.scale.copy_(((flat - self.mean) @ self.components.T).std())

    def encode(self, picture: Float[Tensor, "batch 3 height width"]) -> Encoded:
        """The latents, as a distribution without spread."""
        centred = pixel_unshuffle(picture, self.patch) - self.mean.view(1, -1, 1, 1)
        return Encoded(Exact(torch.einsum("kc,bchw->bkhw", self.components, centred) / self.scale))

    def decode(self, latents: Float[Tensor, "batch channels small narrow"]) -> Decoded:
        """The pictures."""
        patches = torch.einsum("kc,bkhw->bchw", self.components, latents * self.scale)
        return Decoded(pixel_shuffle(patches + self.mean.view(1, -1, 1, 1), self.patch))
