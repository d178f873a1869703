"""Real Stable Diffusion pipelines, on a tiny one saved to disk."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from robeval.domains.diffusion import tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.base import Around, LatentDiffusion
from robeval.domains.diffusion.victims.pretrained import Pretrained, aligned, save_text_encoder
from robeval.domains.diffusion.victims.small import Small
from robeval.errors import DataError, MissingFile, UsageError


@pytest.fixture
def asked(prompts: PromptBatch, pipeline_folder: Path) -> PromptBatch:
    """The prompts as a dataset for that pipeline gives them."""
    name = str(pipeline_folder)
    return prompts.replace(
        tokens=tokens.encoded(name, prompts.text, 16), tokenizer=name, soft=torch.zeros(len(prompts), 2, 16)
    )


@pytest.fixture
def tiny(pipeline_folder: Path) -> Pretrained:
    """The tiny pipeline as a victim."""
    return Pretrained(str(pipeline_folder), sampling_steps=3, guidance=2.0).requires_grad_(False)


def test_it_draws_as_the_pipeline_does(tiny: Pretrained, asked: PromptBatch, pipeline_folder: Path) -> None:
    """Same noise, same prompt: our sampler's picture is the pipeline's."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        pipeline_folder, local_files_only=True, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        own = tiny(asked).image
        noise = tiny.latent_noise(asked.seed)
        theirs = pipeline(
            list(asked.text), num_inference_steps=3, guidance_scale=2.0, latents=noise, output_type="pt",
            height=8, width=8,
        ).images  # fmt: skip
    assert own.shape == (len(asked), 3, 8, 8)
    assert torch.allclose(own, theirs, atol=1e-4)


def test_pictures_become_latents_of_the_right_size(tiny: Pretrained, asked: PromptBatch) -> None:
    """The encoder's mean, scaled, has the UNet's shape."""
    latents = tiny.to_latents(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert latents.shape[1:] == (4, 4, 4)
    assert isinstance(tiny, LatentDiffusion)
    assert tiny.length == 16


def test_edited_text_encoders_are_loaded_with_and_without_prefix(
    tiny: Pretrained, asked: PromptBatch, pipeline_folder: Path, tmp_path: Path
) -> None:
    """A part's weights come from a file or folder, under either generation of parameter names."""
    weights = load_file(pipeline_folder / "text_encoder" / "model.safetensors")
    key = next(name for name in weights if name.endswith("token_embedding.weight"))
    edited = {name: value * 2 if name == key else value for name, value in weights.items()}
    plain = {name.removeprefix("text_model."): value for name, value in edited.items()}
    save_file(plain, tmp_path / "model.safetensors")
    save_file(
        {f"text_model.{name}": value for name, value in plain.items()}, tmp_path / "prefixed.safetensors"
    )
    for place in (tmp_path, tmp_path / "prefixed.safetensors"):
        other = Pretrained(str(pipeline_folder), text_encoder=str(place))
        assert torch.equal(other.token_table.weight, tiny.token_table.weight * 2)
        assert torch.equal(other.unet.conv_in.weight, tiny.unet.conv_in.weight)


def test_an_exported_text_encoder_serves_another_pipeline(
    tiny: Pretrained, asked: PromptBatch, pipeline_folder: Path, tmp_path: Path
) -> None:
    """Exported from one model, loaded into another: its text, the other's pictures."""
    other_folder = tmp_path / "other"
    shutil.copytree(pipeline_folder, other_folder)
    weights = other_folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value * 0.9 for name, value in load_file(weights).items()}, weights)
    with torch.no_grad():
        tiny.token_table.weight.mul_(-1.0)
    save_text_encoder(Around(tiny), tmp_path / "encoder")
    other = Pretrained(str(other_folder), sampling_steps=2)
    robust = Pretrained(str(other_folder), text_encoder=str(tmp_path / "encoder"), sampling_steps=2)
    texts = asked.text
    assert torch.equal(robust.encode_text(texts), tiny.encode_text(texts))
    assert not torch.allclose(robust.encode_text(texts), other.encode_text(texts))
    assert torch.equal(robust.unet.conv_in.weight, other.unet.conv_in.weight)
    assert not torch.equal(robust.unet.conv_in.weight, tiny.unet.conv_in.weight)


def test_a_text_encoder_of_another_size_is_refused(
    untrained: Small, pipeline_folder: Path, tmp_path: Path
) -> None:
    """The shapes that do not fit are named."""
    save_text_encoder(untrained, tmp_path)
    with pytest.raises(UsageError, match=r"64\]"):
        Pretrained(str(pipeline_folder), text_encoder=str(tmp_path))


def test_weights_of_another_part_are_refused(pipeline_folder: Path) -> None:
    """A UNet's weights do not become a text encoder, whatever the file is called."""
    unet = pipeline_folder / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(UsageError, match="does not fit the CLIPTextModel"):
        Pretrained(str(pipeline_folder), text_encoder=str(unet))
    with pytest.raises(MissingFile):
        Pretrained(str(pipeline_folder), unet="nowhere.safetensors")


def test_pickled_weights_are_never_read(pipeline_folder: Path, tmp_path: Path) -> None:
    """A pipeline without safetensors is refused, and so are edited weights in a pickle."""
    folder = tmp_path / "pickled"
    shutil.copytree(pipeline_folder, folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), folder / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(DataError, match="only safetensors"):
        Pretrained(str(folder))
    with pytest.raises(UsageError, match="safetensors only"):
        Pretrained(str(pipeline_folder), unet=str(folder / "unet" / "diffusion_pytorch_model.bin"))


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    """What is missing is named."""
    (tmp_path / "unet").mkdir()
    with pytest.raises(DataError, match="no folder text_encoder, vae, tokenizer"):
        Pretrained(str(tmp_path))


def test_parameter_names_of_both_generations_meet() -> None:
    """`text_model.` is added or dropped as this version wants it; unknown names stay."""
    assert aligned("text_model.a", {"a": 0}) == "a"
    assert aligned("a", {"text_model.a": 0}) == "text_model.a"
    assert aligned("b", {"a": 0}) == "b"
