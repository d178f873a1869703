"""Files that say which words may stand for which; attacks and defenses read the same ones."""

import re
from pathlib import Path

from robeval.errors import DataError, MissingFile

FORM = "word<TAB>substitute,substitute"


def read_substitutes(path: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every line's word and its substitutes, in lower case.

    Raises MissingFile, and DataError for a line without a tab or with something that is no single word.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFile(path, f"Give a file with lines '{FORM}'.")
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    return [_entry(path, line, text) for line, text in lines if text.strip()]


def _entry(path: str, line: int, text: str) -> tuple[str, tuple[str, ...]]:
    word, tab, others = text.partition("\t")
    if not tab:
        raise DataError(f"{path}, line {line}: expected '{FORM}', not {text[:60]!r}")
    first, *rest = (part.strip().lower() for part in (word, *others.split(",")))
    substitutes = tuple(filter(None, rest))
    for name in (first, *substitutes):
        if not re.fullmatch(r"\w+", name):
            raise DataError(f"{path}, line {line}: {name!r} is no single word; leave it out")
    return first, substitutes
