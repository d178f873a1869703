"""Weights from a file into a module, checked, and without running anything that the file holds."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robeval.errors import DataError, MissingFile, UsageError

_SHOWN = 3
WRAPPERS = ("victim.", "model.", "module.")
"""Names under which training wrappers keep the module that they train."""


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Put the weights of a safetensors file, a Lightning checkpoint or a saved state dict into `module`.

    Raises MissingFile, DataError for a file that cannot be read or holds NaN, and UsageError when the weights
    belong to another model; nothing is changed then.
    """
    place = Path(path)
    if not place.is_file():
        raise MissingFile(place, "A checkpoint is a .safetensors file or a Lightning .ckpt.")
    weights = _unwrapped(_read(place), module)
    _compare(weights, module, place)
    broken = [
        name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise DataError(
            f"{place} holds NaN or infinite weights: {_some(broken)}. Was its training stopped in time?"
        )
    module.load_state_dict(weights)


def _read(place: Path) -> dict[str, Tensor]:
    if place.suffix == ".safetensors":
        try:
            return load_file(place)
        except SafetensorError as error:
            raise DataError(f"{place} is not a readable safetensors file: {error}") from None
    try:
        content = torch.load(place, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{place} holds more than tensors, or is no checkpoint, and robeval does not unpickle objects "
            f"({_first_line(error)}). Save the weights alone: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        raise DataError(f"{place} is not a readable checkpoint: {_first_line(error)}") from None
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else [type(content).__name__]
        raise DataError(f"{place} holds no state dict of tensors; found: {_some(found)}")
    return dict(weights)


def _unwrapped(weights: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The part that belongs to `module` where a training wrapper saved it under a name of its own."""
    own = module.state_dict().keys()
    for wrapper in WRAPPERS:
        inner = {
            name.removeprefix(wrapper): value for name, value in weights.items() if name.startswith(wrapper)
        }
        if inner.keys() & own and not weights.keys() & own:
            return inner
    return weights


def _compare(weights: Mapping[str, Tensor], module: nn.Module, place: Path) -> None:
    own = module.state_dict()
    wrong = [f"no '{name}'" for name in own if name not in weights]
    wrong += [f"'{name}' is unknown" for name in weights if name not in own]
    wrong += [
        f"'{name}' is {list(weights[name].shape)}, expected {list(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if wrong:
        raise UsageError(
            f"{place} does not fit {type(module).__name__}: {_some(wrong, '; ')}. "
            "Give the victim the options that it was trained with (hidden sizes, modes)."
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _some(names: list[str], glue: str = ", ") -> str:
    more = len(names) - _SHOWN
    return glue.join(names[:_SHOWN]) + (f"{glue}and {more} more" if more > 0 else "")
