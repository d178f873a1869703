"""From prompts to token ids and back, for the embedded tokenizer and for any CLIP tokenizer by folder or name."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from robeval.errors import MissingFile

SHAPES = "shapes"
SHAPES_LENGTH = 16
_SHAPES_FOLDER = Path(__file__).parent / "shapes_tokenizer"


@lru_cache(maxsize=8)
def tokenizer_named(name: str, fetch: bool = True) -> Any:
    """The embedded tokenizer ("shapes"), or the one in a folder (a pipeline's folder will do) or on the hub.

    Without `fetch` what is on this machine is enough or nothing is.

    Raises MissingFile when there is none.
    """
    from transformers import CLIPTokenizer

    if name == SHAPES:
        return CLIPTokenizer.from_pretrained(_SHAPES_FOLDER, local_files_only=True)
    folder = Path(name)
    if (folder / "tokenizer").is_dir():
        folder = folder / "tokenizer"
    try:
        if folder.is_dir():
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        subfolder = "tokenizer" if not name.endswith("tokenizer") else ""
        return CLIPTokenizer.from_pretrained(
            name, subfolder=subfolder, local_files_only=not fetch or is_offline()
        )
    except (OSError, ValueError) as error:
        raise MissingFile(
            name, f"It should hold a CLIP tokenizer (vocab.json, merges.txt): {_first_line(error)}"
        ) from None


def is_offline() -> bool:
    """Whether hub names may only be looked up in the local cache."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def encoded(name: str, texts: tuple[str, ...], length: int | None = None) -> Int64[Tensor, "batch length"]:
    """Start, words, end, padding, per text. What does not fit into `length` tokens is cut off."""
    tokenizer = tokenizer_named(name)
    window = tokenizer.model_max_length if length is None else length
    if not texts:
        return torch.zeros(0, window, dtype=torch.long)
    made = tokenizer(list(texts), padding="max_length", truncation=True, max_length=window)
    return torch.tensor(made["input_ids"], dtype=torch.long)


def decoded(name: str, tokens: Int64[Tensor, "batch length"]) -> tuple[str, ...]:
    """The texts of token ids, without start, end and padding; what stands behind the first end is not text."""
    tokenizer = tokenizer_named(name)
    known = tokens.clamp(0, len(tokenizer) - 1)
    behind = (known == tokenizer.eos_token_id)[:, 1:].cumsum(dim=1) > 0
    words = known.clone()
    words[:, 1:][behind] = tokenizer.eos_token_id
    texts = tokenizer.batch_decode(words.tolist(), skip_special_tokens=True)
    return tuple(" ".join(text.split()) for text in texts)


def retokenized(name: str, tokens: Int64[Tensor, "batch length"]) -> Int64[Tensor, "batch length"]:
    """The ids that a victim sees: decoded to text, encoded again."""
    return encoded(name, decoded(name, tokens), tokens.shape[1]).to(tokens.device)


def first_end(name: str, tokens: Int64[Tensor, "batch length"]) -> Int64[Tensor, " batch"]:
    """Where each prompt's first end token stands (the last place if there is none)."""
    is_end = tokens == tokenizer_named(name).eos_token_id
    is_end[:, 0] = False
    last = torch.full_like(tokens[:, 0], tokens.shape[1] - 1)
    return torch.where(is_end.any(dim=1), is_end.long().argmax(dim=1), last)


@lru_cache(maxsize=8)
def searchable(name: str) -> Bool[Tensor, " vocabulary"]:
    """The tokens that an attacker may write: no special ones, and decoding and encoding alone keeps them."""
    tokenizer = tokenizer_named(name)
    size = len(tokenizer)
    start, end = _id(tokenizer.bos_token_id), _id(tokenizer.eos_token_id)
    alone = torch.full((size, 3), end)
    alone[:, 0] = start
    alone[:, 1] = torch.arange(size)
    allowed = (retokenized(name, alone) == alone).all(dim=1)
    allowed[[start, end]] = False
    return allowed


@lru_cache(maxsize=8)
def special_ids(name: str) -> tuple[int, int]:
    """Start and end of a tokenizer."""
    tokenizer = tokenizer_named(name)
    return _id(tokenizer.bos_token_id), _id(tokenizer.eos_token_id)


def _id(value: object) -> int:
    return int(str(value))


def inserted(
    name: str,
    tokens: Int64[Tensor, "batch length"],
    words: Int64[Tensor, "batch k"],
    at: Int64[Tensor, " batch"] | None = None,
) -> Int64[Tensor, "batch length"]:
    """Prompts with `words` put in at place `at` (1, behind the start, if not given); the end moves along.

    A prompt that is too long loses its last words; `room` says how many fit.
    """
    batch, length = tokens.shape
    count = words.shape[1]
    place = torch.ones(batch, dtype=torch.long, device=tokens.device) if at is None else at
    column = torch.arange(length, device=tokens.device).expand(batch, -1)
    source = torch.where(column < place[:, None], column, column - count)
    moved = tokens.gather(1, source.clamp_min(0))
    new = words.gather(1, (column - place[:, None]).clamp(0, count - 1)) if count else moved
    is_new = (column >= place[:, None]) & (column < place[:, None] + count)
    result = torch.where(is_new, new, moved)
    result[:, -1] = special_ids(name)[1]
    return result


def room(name: str, tokens: Int64[Tensor, "batch length"]) -> Int64[Tensor, " batch"]:
    """How many tokens still fit into each prompt without cutting off its own."""
    return tokens.shape[1] - 1 - first_end(name, tokens)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
