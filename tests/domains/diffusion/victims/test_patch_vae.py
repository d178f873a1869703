"""The linear autoencoder of patches."""

import torch

from robeval.domains.diffusion.victims.patch_vae import LinearPatchVAE
from robeval_datasets.diffusion.synthetic import Synthetic


def test_all_components_lose_nothing(world: Synthetic) -> None:
    """With as many components as a patch has numbers, decoding inverts encoding."""
    image = world.split("train").image * 2 - 1
    vae = LinearPatchVAE(patch=4, channels=48)
    vae.fit(image)
    again = vae.decode(vae.encode(image).latent_dist.mean).sample
    assert torch.allclose(again, image, atol=1e-4)


def test_twelve_components_keep_nearly_everything(world: Synthetic) -> None:
    """12 of 48 components keep 95 % of the variance; the latents have a spread of 1."""
    image = world.split("train").image * 2 - 1
    vae = LinearPatchVAE()
    assert not vae.is_fitted
    vae.fit(image)
    assert vae.is_fitted
    latents = vae.encode(image).latent_dist.mean
    assert latents.shape == (len(image), 12, 8, 8)
    assert abs(float(latents.std()) - 1) < 0.05
    lost = (vae.decode(latents).sample - image).var() / image.var()
    assert float(lost) < 0.05


def test_a_state_dict_restores_the_components(world: Synthetic) -> None:
    """What was fitted travels with the weights."""
    vae = LinearPatchVAE()
    vae.fit(world.split("train").image * 2 - 1)
    again = LinearPatchVAE()
    again.load_state_dict(vae.state_dict())
    assert again.is_fitted
    assert torch.equal(again.components, vae.components)
