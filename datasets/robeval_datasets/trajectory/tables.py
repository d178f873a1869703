"""Reading number tables with errors that say where."""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray as Array

from robeval.errors import DataError, MissingFile


def existing_folder(root: str, how_to_get_it: str) -> Path:
    """The folder behind an option `root`.

    Raises MissingFile, with how to get the data, when it is not given or not there.
    """
    if not root:
        raise MissingFile("(no root given)", how_to_get_it)
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise MissingFile(folder, how_to_get_it)
    return folder


def read_numbers(path: Path, columns: int | None, meaning: str) -> Float[Array, "rows columns"]:
    """A table of numbers separated by blanks, tabs or commas; empty lines and lines that start with # are skipped.

    Raises DataError with file and line for rows of another length or with words in them.
    """
    lines = path.read_text(encoding="utf-8-sig").replace(",", " ").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    if not rows:
        raise DataError(f"{path}: empty; expected rows of {meaning}")
    expected = columns or len(rows[0][1])
    for number, row in rows:
        if len(row) != expected:
            raise DataError(f"{path}, line {number}: {len(row)} values, expected {expected} ({meaning})")
    try:
        return np.array([row for _, row in rows], dtype=np.float64)
    except ValueError:
        number, value = next(
            (number, value) for number, row in rows for value in row if not _is_number(value)
        )
        raise DataError(f"{path}, line {number}: '{value}' is not a number ({meaning})") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_columns(path: Path, wanted: tuple[str, ...]) -> Float[Array, "rows columns"]:
    """The wanted columns of a CSV file with a header, in that order; names are compared without case.

    Raises DataError with the columns that are missing, or with the line that is not a number.
    """
    text = path.read_text(encoding="utf-8-sig")
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in wanted if name.lower() not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    index = [header.index(name.lower()) for name in wanted]
    rows = []
    for number, row in enumerate(reader, 2):
        if not row:
            continue
        try:
            rows.append([float(row[k].replace(",", "")) for k in index])
        except (ValueError, IndexError):
            raise DataError(f"{path}, line {number}: {row} lacks numbers for {', '.join(wanted)}") from None
    if not rows:
        raise DataError(f"{path}: a header and no rows")
    return np.array(rows, dtype=np.float64)
