"""Which weights of a text-to-image model an eraser may change."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from robeval.domains.diffusion.victims.base import LatentDiffusion
from robeval.errors import OptionError, PluginError

Part = Literal["unet-x", "unet-x-strict", "unet-u", "unet", "text-encoder"]
PartOption = Annotated[
    Part,
    Field(
        description="what is trained: the UNet's cross-attention (unet-x; of it only keys and values: "
        "unet-x-strict), all but that (unet-u), all of it (unet), or the text encoder"
    ),
]
LayersOption = Annotated[
    int | None, Field(ge=1, description="of the text encoder only the first so many layers are trained")
]

CROSS = ".attn2."


def trained_parameters(
    model: LatentDiffusion, part: Part, layers: int | None = None
) -> dict[str, nn.Parameter]:
    """The parameters of a part by their names in `model`.

    Of the text encoder these are its layers and the last norm: the token and position tables, which attackers start
    from, stay. Raises OptionError when `layers` does not fit, PluginError when the part has no such weights.
    """
    if part == "text-encoder":
        found = _of_text_encoder(model, layers)
    elif layers is not None:
        raise OptionError(f"layers={layers} is for part=text-encoder; with part={part} leave it out")
    else:
        found = {
            f"unet.{name}": weight for name, weight in model.unet.named_parameters() if _belongs(name, part)
        }
    if not found:
        raise PluginError(f"{type(model).__name__} has no weights of the part '{part}'")
    return found


def _belongs(name: str, part: Part) -> bool:
    if part == "unet-x-strict":
        return CROSS in name and (".to_k." in name or ".to_v." in name)
    return part == "unet" or (CROSS in name) == (part == "unet-x")


def _of_text_encoder(model: LatentDiffusion, layers: int | None) -> dict[str, nn.Parameter]:
    depth = int(model.text_encoder.config.num_hidden_layers)
    if layers is not None and layers > depth:
        raise OptionError(f"layers={layers}: the text encoder has {depth} layers")
    found = {}
    for name, weight in model.text_encoder.named_parameters():
        _, _, inside = name.rpartition("encoder.layers.")
        in_layer = "encoder.layers." in name and (layers is None or int(inside.split(".")[0]) < layers)
        if in_layer or "final_layer_norm" in name:
            found[f"text_encoder.{name}"] = weight
    return found


def only_trained(model: LatentDiffusion, part: Part, layers: int | None = None) -> dict[str, nn.Parameter]:
    """`trained_parameters`, with gradients for these and for nothing else of the model."""
    model.requires_grad_(False)
    chosen = trained_parameters(model, part, layers)
    for weight in chosen.values():
        weight.requires_grad_(True)
    return chosen
