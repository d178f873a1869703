"""Reading weights from a path without ever running what is inside."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from robeval.errors import MissingFile, UsageError


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Put the weights of a checkpoint (safetensors, or a Lightning .ckpt / .pt read as tensors only) into a module.

    Raises MissingFile, or UsageError naming the first tensors that do not fit.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFile(
            file, "A checkpoint is a .safetensors file, or a Lightning .ckpt of the same victim."
        )
    found = _read(file)
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    misfits = [
        f"{name}: {tuple(found[name].shape)} in the file, {tuple(wanted[name].shape)} in the victim"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if missing or surplus or misfits:
        parts = [
            *misfits[:3],
            *(f"missing: {n}" for n in missing[:3]),
            *(f"unknown: {n}" for n in surplus[:3]),
        ]
        raise UsageError(
            f"{file} does not hold weights of a {type(module).__name__} with these options. {'; '.join(parts)}"
        )
    module.load_state_dict(found)


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            f"{file} cannot be read as a checkpoint without running code from it: {error}"
        ) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UsageError(f"{file} holds no weights")
    return tensors
