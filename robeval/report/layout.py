"""Lines of text that fit a width, and what becomes of them where only ASCII can be shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.text import Text

_ASCII = str.maketrans("░▒▓█─·×–…▁▂▃▄▅▆▇", ".:x#-|x-~_.-=+*%")
_ASCII_WORDS = {"≤": "<=", "≥": ">=", "±": "+-", "∞": "inf", "²": "2", "³": "3", "°": "deg", "→": "->"}


def paragraph(text: str, width: int, *, indent: int = 0, style: str = "") -> Iterator[Text]:
    """`text` in lines of at most `width` columns, the indent included."""
    for line in textwrap.wrap(text, width - indent, break_on_hyphens=False):
        yield Text(" " * indent + line, style=style)


def in_ascii(line: Text) -> Text:
    """The same line for terminals that know ASCII only; what has no likeness becomes a question mark."""
    line = line.copy()
    line.plain = line.plain.translate(_ASCII)
    for sign, word in _ASCII_WORDS.items():
        while sign in line.plain:
            place = line.plain.index(sign)
            line = Text.assemble(line[:place], word, line[place + 1 :])
    line.plain = line.plain.encode("ascii", "replace").decode()
    return line
