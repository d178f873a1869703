"""A text encoder that was made robust in one model, put into another one."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from robeval.domains.diffusion.victims.base import generator
from robeval.domains.diffusion.victims.pretrained import replace_part, save_text_encoder
from robeval.errors import MissingFile, UsageError

PROVENANCE = "robeval.json"
WEIGHTS = "model.safetensors"


def export_text_encoder(victim: nn.Module, folder: Path, made_by: Mapping[str, object]) -> Path:
    """Write a victim's text encoder as transformers does, and beside it what made it; the folder.

    ``CLIPTextModel.from_pretrained(folder)`` reads it, and so do `pretrained:text_encoder=FOLDER` and the defense
    `text-encoder:weights=FOLDER`. Raises UsageError when something is there already, PluginError when the victim has no
    text encoder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty, and nothing is overwritten; give a new folder")
    model = generator(victim)
    folder.mkdir(parents=True, exist_ok=True)
    save_text_encoder(model, folder)
    about = {"schema": 1, **made_by, "tokenizer": model.tokenizer, "weights": digest(folder)}
    (folder / PROVENANCE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return folder


def digest(place: Path) -> str:
    """Twelve hex digits that change with the weights of an exported text encoder. Raises MissingFile."""
    file = place / WEIGHTS if place.is_dir() else place
    if not file.is_file():
        raise MissingFile(file, "A text encoder is a folder as `robeval export text-encoder` writes it.")
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=6)).hexdigest()


def with_text_encoder(victim: nn.Module, place: Path) -> nn.Module:
    """A copy of a victim that reads prompts by another text encoder; its UNet and autoencoder are its own.

    Raises MissingFile, or UsageError when the encoder has another shape or was made for another tokenizer.
    """
    transplanted = copy.deepcopy(victim)
    model = generator(transplanted)
    _check_vocabulary(place, model.tokenizer)
    replace_part(model.text_encoder, str(place))
    return transplanted


def _check_vocabulary(place: Path, tokenizer: str) -> None:
    """Only where both are known to be different: a pipeline's tokenizer is known by its path alone."""
    from robeval.domains.diffusion import tokens

    about = place / PROVENANCE
    if not about.is_file():
        return
    other = str(json.loads(about.read_text(encoding="utf-8")).get("tokenizer", tokenizer))
    if (
        tokens.SHAPES in (other, tokenizer)
        and other != tokenizer
        and _vocabulary(other) != _vocabulary(tokenizer)
    ):
        raise UsageError(f"{place} reads tokens of '{other}', but the victim's tokenizer is '{tokenizer}'")


def _vocabulary(tokenizer: str) -> dict[str, int] | None:
    """A tokenizer's words; None where it is not here any more."""
    from robeval.domains.diffusion import tokens

    try:
        return dict(tokens.tokenizer_named(tokenizer, fetch=False).get_vocab())
    except MissingFile:
        return None
