"""Texts as tensors and back, and edits of texts: the adversarial text is what a run keeps, not token ids."""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

FRONT, MIDDLE, END = "front", "middle", "end"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD_END = re.compile(r"\s+")


def to_bytes(texts: Sequence[str], width: int) -> UInt8[Tensor, "batch {width}"]:
    """UTF-8, padded with zeros. Raises ValueError when a text is longer or holds a zero byte."""
    rows = torch.zeros(len(texts), width, dtype=torch.uint8)
    for number, text in enumerate(texts):
        content = text.encode()
        if len(content) > width:
            raise ValueError(
                f"a text of {len(content)} bytes does not fit the {width} bytes of its batch: "
                f"{text[:40]!r}... Give the dataset more room for insertions: room=BYTES"
            )
        if b"\0" in content:
            raise ValueError(f"a passage cannot hold a zero byte: {text[:40]!r}")
        rows[number, : len(content)] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[
            : len(content)
        ]
    return rows


def to_texts(rows: UInt8[Tensor, "batch bytes"]) -> list[str]:
    """The texts of `to_bytes`; bytes that are no UTF-8 become the replacement sign."""
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in rows.cpu().numpy()]


def is_text(rows: UInt8[Tensor, "batch bytes"]) -> Bool[Tensor, " batch"]:
    """Which rows are UTF-8 with zeros at the end only."""
    return torch.tensor([_is_text(bytes(row)) for row in rows.cpu().numpy()], dtype=torch.bool)


def _is_text(row: bytes) -> bool:
    content = row.rstrip(b"\0")
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def boundaries(text: str) -> list[int]:
    """Where a sentence begins, character offsets; the first is 0 and the last the length."""
    return [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]


def place_of(text: str, where: str | int) -> int:
    """The character offset of an insertion: never inside a word.

    `where` is "front", "middle" (the sentence boundary nearest to half of the text, or the word boundary where
    there is one sentence), "end", or the number of a sentence boundary (0 is the front).
    Raises ValueError for any other word.
    """
    if isinstance(where, int):
        known = boundaries(text)
        return known[min(where, len(known) - 1)]
    if where == FRONT:
        return 0
    if where == END:
        return len(text)
    if where != MIDDLE:
        raise ValueError(f"an insertion is at {FRONT}, {MIDDLE}, {END} or a sentence number, not {where!r}")
    inner = boundaries(text)[1:-1] or [match.end() for match in _WORD_END.finditer(text)] or [len(text)]
    return min(inner, key=lambda offset: abs(offset - len(text) / 2))


def inserted(texts: Sequence[str], triggers: Sequence[str], where: str | int | Sequence[int]) -> list[str]:
    """Every text with its trigger put in, one blank on either side; an empty trigger changes nothing.

    `where` is as in `place_of`, or one sentence number per text.
    """
    places = [where] * len(texts) if isinstance(where, str | int) else list(where)
    return [
        _joined(text, trigger.strip(), place_of(text, place))
        for text, trigger, place in zip(texts, triggers, places, strict=True)
    ]


def _joined(text: str, trigger: str, offset: int) -> str:
    if not trigger:
        return text
    before, after = text[:offset], text[offset:]
    left = "" if not before or before[-1].isspace() else " "
    right = "" if not after or after[0].isspace() else " "
    return f"{before}{left}{trigger}{right}{after}"


def words_of(text: str) -> list[str]:
    """Words between blanks, punctuation attached."""
    return text.split()


def substituted(text: str, changes: dict[int, str]) -> str:
    """The text with some words (by their number in `words_of`) replaced; white space stays as it was."""
    pieces = re.split(r"(\s+)", text)
    number = -1
    for place, piece in enumerate(pieces):
        if piece and not piece.isspace():
            number += 1
            pieces[place] = changes.get(number, piece)
    return "".join(pieces)
