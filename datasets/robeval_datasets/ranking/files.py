"""Reading the file formats of the field; every complaint names the file and the line."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from robeval.errors import DataError, MissingFile


def lines_of(path: Path, how_to_get_it: str = "") -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank. Raises MissingFile, or DataError for a file that is no UTF-8."""
    if not path.is_file():
        raise MissingFile(path, how_to_get_it)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None


def texts_of(path: Path, read: Callable[[Path, int, str], tuple[str, str]]) -> dict[str, str]:
    """Texts by id, a line each, as `tab_text` or `json_text` reads it; a passage may be empty.

    Raises DataError for a malformed line or an id that comes twice.
    """
    found: dict[str, str] = {}
    for number, line in lines_of(path):
        name, text = read(path, number, line)
        if name in found:
            raise DataError(f"{path}, line {number}: id '{name}' was there before; every text needs its own")
        # A zero byte ends a text in a batch.
        found[name] = text.replace("\0", " ").strip()
    if not found:
        raise DataError(f"{path} is empty")
    return found


def tab_text(path: Path, number: int, line: str) -> tuple[str, str]:
    """``id<TAB>text``."""
    name, tab, text = line.partition("\t")
    if not tab or not name.strip():
        raise DataError(f"{path}, line {number}: expected id<TAB>text, got {line[:60]!r}")
    return name.strip(), text


def json_text(path: Path, number: int, line: str) -> tuple[str, str]:
    """An object with ``id`` and ``contents`` or ``text``."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: no JSON: {error.msg}") from None
    keys = record if isinstance(record, Mapping) else {}
    name = next((keys[key] for key in ("id", "_id", "docid", "pid", "qid") if key in keys), None)
    text = next((keys[key] for key in ("contents", "text", "query", "title") if key in keys), None)
    if name is None or not isinstance(text, str):
        raise DataError(
            f'{path}, line {number}: expected {{"id": ..., "contents": "..."}}, got {line[:60]!r}'
        )
    return str(name), text


def qrels_of(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """``query 0 passage grade`` lines (or ``query passage grade``), for these queries; grades below 0 count as 0.

    Raises DataError for a malformed line, or when no query of the file is known.
    """
    found: dict[str, dict[str, int]] = {}
    for number, line in lines_of(path):
        parts = line.split()
        if len(parts) not in (3, 4) or not parts[-1].lstrip("-").isdigit():
            raise DataError(f"{path}, line {number}: expected 'query 0 passage grade', got {line[:60]!r}")
        query, passage, grade = parts[0], parts[-2], int(parts[-1])
        if query in queries:
            found.setdefault(query, {})[passage] = max(grade, 0)
    if not found:
        raise DataError(f"{path} judges none of the {len(queries)} queries; do both files use the same ids?")
    return found


def runs_of(
    path: Path, queries: Mapping[str, str], passages: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Candidates, best first: TREC runs (``query Q0 passage rank score tag``) or ``query passage [rank [score]]``.

    Raises DataError for a malformed line, a passage listed twice for a query, or one that is not in `passages`.
    """
    ranked: dict[str, list[tuple[float, str]]] = {}
    for number, line in lines_of(path):
        parts = line.split()
        if len(parts) not in (2, 3, 4, 6):
            raise DataError(
                f"{path}, line {number}: expected 'query Q0 passage rank score tag', got {line[:60]!r}"
            )
        query, passage = parts[0], parts[2] if len(parts) == 6 else parts[1]
        place = parts[3] if len(parts) == 6 else parts[2] if len(parts) > 2 else str(number)
        if query not in queries:
            continue
        if passages is not None and passage not in passages:
            raise DataError(f"{path}, line {number}: passage '{passage}' is not in the collection")
        try:
            ranked.setdefault(query, []).append((float(place), passage))
        except ValueError:
            raise DataError(f"{path}, line {number}: the rank is no number: {place!r}") from None
    return {query: _unique(path, query, rows) for query, rows in ranked.items()}


def _unique(path: Path, query: str, rows: Sequence[tuple[float, str]]) -> list[str]:
    names = [passage for _, passage in sorted(rows, key=lambda row: row[0])]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"{path}: passage '{twice}' is listed twice for query '{query}'")
    return names
