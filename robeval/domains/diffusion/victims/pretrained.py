"""Any Stable Diffusion pipeline, from a folder or the hub: safetensors only."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from robeval.domains.diffusion.tokens import is_offline
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.errors import DataError, MissingFile, OptionError, UsageError

PARTS = ("text_encoder", "unet", "vae", "tokenizer")


class Pretrained(LatentDiffusion):
    """A Stable Diffusion pipeline (1.x or 2.x): its text encoder, UNet and autoencoder, sampled by DDIM.

    Nothing is trained from pictures, but defenses may go on from its weights. Edited weights are loaded over one
    part: `text_encoder=` or `unet=` take a safetensors file or a folder of that part.
    """

    train_batch_size = 4
    learning_rate = 1e-5

    def __init__(
        self,
        path: Annotated[str, Field(description="the pipeline's folder or hub name; to be given")] = "",
        text_encoder: Annotated[str | None, Field(description="edited weights of the text encoder")] = None,
        unet: Annotated[str | None, Field(description="edited weights of the UNet")] = None,
        sampling_steps: Annotated[int, Field(ge=1, le=1000, description="DDIM steps of a picture")] = 50,
        guidance: Annotated[float, Field(ge=0, description="classifier-free guidance")] = 7.5,
        steps: Annotated[
            int,
            Field(
                ge=0, description="more than 0 lets defenses train it; they bring their own number of steps"
            ),
        ] = 0,
    ) -> None:
        """Raises MissingFile, DataError or OptionError when the pipeline cannot be used."""
        super().__init__()
        self.sampling_steps, self.guidance, self.steps = sampling_steps, guidance, steps
        self.tokenizer = path
        pipeline = loaded(path)
        self.text_encoder, self.unet, self.vae = pipeline.text_encoder, pipeline.unet, pipeline.vae
        schedule = pipeline.scheduler.config
        self.prediction = str(schedule.get("prediction_type", "epsilon"))
        if self.prediction not in ("epsilon", "v_prediction"):
            raise OptionError(f"{path} predicts '{self.prediction}'; epsilon or v_prediction is needed")
        self.register_buffer("alphas", pipeline.scheduler.alphas_cumprod.float())
        self.register_buffer("one_step_from", torch.zeros((), dtype=torch.long))
        for part, weights in (("text_encoder", text_encoder), ("unet", unet)):
            if weights is not None:
                replace_part(getattr(self, part), weights)
        self.eval()


def loaded(path: str) -> Any:
    """The pipeline in float32. Raises MissingFile or DataError."""
    if not path:
        raise MissingFile(
            "''", "Give a Stable Diffusion pipeline: --victim pretrained:path=FOLDER_OR_HUB_NAME"
        )
    from diffusers import StableDiffusionPipeline

    folder = Path(path)
    if folder.is_dir():
        missing = [part for part in PARTS if not (folder / part).is_dir()]
        if missing:
            raise DataError(
                f"{path} is no Stable Diffusion pipeline: it has no folder {', '.join(missing)}. "
                "Save one with pipeline.save_pretrained(folder)."
            )
    try:
        return StableDiffusionPipeline.from_pretrained(
            path,
            safety_checker=None,
            requires_safety_checker=False,
            use_safetensors=True,
            low_cpu_mem_usage=False,  # the other way needs `accelerate`
            local_files_only=folder.is_dir() or is_offline(),
        )
    except (OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        if folder.is_dir():
            raise DataError(f"{path} cannot be loaded (only safetensors are read): {line}") from None
        raise MissingFile(path, f"A folder, or a hub name that can be reached, is needed: {line}") from None


def replace_part(part: torch.nn.Module, place: str) -> None:
    """Edited weights over a text encoder or UNet; the prefix that older checkpoints carry may be there or not.

    Raises MissingFile or UsageError when they belong to another model.
    """
    from safetensors.torch import load_file

    path = Path(place)
    if path.is_dir():
        found = [*path.glob("model.safetensors"), *path.glob("diffusion_pytorch_model.safetensors")]
        if not found:
            raise MissingFile(path / "model.safetensors", "Edited weights are read from safetensors only.")
        path = found[0]
    if not path.is_file():
        raise MissingFile(path, "Edited weights are a safetensors file, or a folder that holds one.")
    if path.suffix != ".safetensors":
        raise UsageError(f"{path}: edited weights are read from safetensors only; convert the file first")
    own = part.state_dict()
    given = {aligned(name, own): value for name, value in load_file(path).items()}
    given = {name: value for name, value in given.items() if not name.endswith("position_ids") or name in own}
    odd = [
        f"{name} is {list(value.shape)}, not {list(own[name].shape)}"
        for name, value in given.items()
        if name in own and value.shape != own[name].shape
    ]
    odd += sorted(given.keys() ^ own.keys())
    if odd:
        raise UsageError(f"{path} does not fit the {type(part).__name__}: {', '.join(odd[:3])}")
    part.load_state_dict(given)


def save_text_encoder(victim: torch.nn.Module, folder: Path) -> None:
    """Write a victim's text encoder (robust, say) as transformers does: safetensors and configuration.

    Any pipeline whose text encoder has the same shape takes it: `pretrained:path=...,text_encoder=FOLDER`, or
    ``CLIPTextModel.from_pretrained(folder)`` elsewhere. Raises PluginError when there is no text encoder.
    """
    generator(victim).text_encoder.save_pretrained(folder)


def aligned(name: str, own: Any) -> str:
    """A parameter's name as this version of transformers has it (with or without ``text_model.``)."""
    prefix = "text_model."
    if name in own:
        return name
    other = name.removeprefix(prefix) if name.startswith(prefix) else prefix + name
    return other if other in own else name
