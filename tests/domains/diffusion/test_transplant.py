"""A text encoder leaves one model and is put into another."""

import json
from pathlib import Path

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.transplant import digest, export_text_encoder, with_text_encoder
from robeval.domains.diffusion.victims.base import Around, generator
from robeval.domains.diffusion.victims.pretrained import Pretrained
from robeval.domains.diffusion.victims.small import Small
from robeval.errors import MissingFile, UsageError


@pytest.fixture
def second(untrained: Small) -> Small:
    """A model of the same shape with other weights."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = Small(sampling_steps=2)
    made.vae.load_state_dict(untrained.vae.state_dict())
    return made.eval().requires_grad_(False)


def test_the_second_model_reads_as_the_first_and_draws_as_itself(
    untrained: Small, second: Small, prompts: PromptBatch, tmp_path: Path
) -> None:
    """The copy has the first's text encoder and the second's UNet; the second itself stays as it was."""
    folder = export_text_encoder(Around(untrained), tmp_path / "encoder", {"defense": "none"})
    before = {name: value.clone() for name, value in second.state_dict().items()}
    copied = generator(with_text_encoder(second, folder))
    assert torch.equal(copied.encode_text(prompts.text), untrained.encode_text(prompts.text))
    assert all(
        torch.equal(value, before[name])
        for name, value in copied.state_dict().items()
        if not name.startswith("text_encoder")
    )
    assert all(torch.equal(value, before[name]) for name, value in second.state_dict().items())
    images = [model(prompts).image for model in (copied, untrained, second)]
    assert not torch.allclose(images[0], images[1])
    assert not torch.allclose(images[0], images[2])


def test_what_made_it_stands_beside_it(untrained: Small, tmp_path: Path) -> None:
    """And the digest of the weights, which other weights do not have."""
    folder = export_text_encoder(untrained, tmp_path / "encoder", {"defense": "esd", "seed": 3})
    about = json.loads((folder / "robeval.json").read_text())
    assert about == {
        "schema": 1, "defense": "esd", "seed": 3, "tokenizer": "shapes", "weights": digest(folder),
    }  # fmt: skip
    assert digest(folder) == digest(folder / "model.safetensors")
    with torch.no_grad():
        untrained.token_table.weight.add_(1)
        other = export_text_encoder(untrained, tmp_path / "other", {})
        untrained.token_table.weight.sub_(1)
    assert digest(other) != digest(folder)


def test_any_diffusers_pipeline_takes_it(pipeline_folder: Path, tmp_path: Path) -> None:
    """`CLIPTextModel.from_pretrained` reads the folder, and the pipeline draws with it."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    tiny = Pretrained(str(pipeline_folder), sampling_steps=2)
    with torch.no_grad():
        tiny.token_table.weight.mul_(-1.0)
    folder = export_text_encoder(tiny, tmp_path / "encoder", {})
    encoder = CLIPTextModel.from_pretrained(folder, local_files_only=True)
    pipeline = StableDiffusionPipeline.from_pretrained(
        pipeline_folder,
        text_encoder=encoder,
        safety_checker=None,
        local_files_only=True,
        low_cpu_mem_usage=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        "a circle", num_inference_steps=1, output_type="pt", generator=torch.Generator().manual_seed(0)
    ).images
    plain = StableDiffusionPipeline.from_pretrained(
        pipeline_folder, safety_checker=None, local_files_only=True, low_cpu_mem_usage=False
    )
    plain.set_progress_bar_config(disable=True)
    other = plain(
        "a circle", num_inference_steps=1, output_type="pt", generator=torch.Generator().manual_seed(0)
    ).images
    assert picture.shape == other.shape
    assert not torch.equal(picture, other)
    assert torch.equal(
        with_text_encoder(Pretrained(str(pipeline_folder)), folder).encode_text(("a circle",)),  # type: ignore[operator]
        tiny.encode_text(("a circle",)),
    )


def test_nothing_is_overwritten(untrained: Small, tmp_path: Path) -> None:
    """A folder with something in it is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        export_text_encoder(untrained, tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_encoders_that_do_not_fit(untrained: Small, pipeline_folder: Path, tmp_path: Path) -> None:
    """Another width is named; a place without weights is named."""
    folder = export_text_encoder(Pretrained(str(pipeline_folder)), tmp_path / "narrow", {})
    with pytest.raises(UsageError, match="does not fit the CLIPTextModel"):
        with_text_encoder(untrained, folder)
    with pytest.raises(MissingFile, match="empty"):
        with_text_encoder(untrained, tmp_path / "empty")


def test_an_encoder_of_another_vocabulary(untrained: Small, tmp_path: Path) -> None:
    """Of equal shape, but for other tokens: refused, where its tokenizer is known."""
    folder = export_text_encoder(untrained, tmp_path / "encoder", {})
    about = json.loads((folder / "robeval.json").read_text())
    (folder / "robeval.json").write_text(json.dumps({**about, "tokenizer": "somewhere/else"}))
    with pytest.raises(UsageError, match="somewhere/else"):
        with_text_encoder(untrained, folder)
