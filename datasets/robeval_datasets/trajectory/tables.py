"""Reading number tables with errors that say where."""

import warnings
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


def read_numbers(path: Path, columns: tuple[int, ...], meaning: str) -> Float[Array, "rows columns"]:
    """A table of numbers separated by blanks, tabs or commas, with one of the column counts in `columns`.

    Empty lines and lines that start with # are skipped. Raises DataError with file and line for rows of
    another length or with words in them.
    """
    with path.open(encoding="utf-8-sig") as stream:
        separator = (
            "," if "," in next((line for line in stream if line.strip() and line[0] != "#"), "") else None
        )
    try:
        with path.open(encoding="utf-8-sig") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file is reported below
            table = np.loadtxt(stream, delimiter=separator, ndmin=2)
    except ValueError:
        raise _what_is_wrong(path, columns, meaning) from None
    if not table.size:
        raise DataError(f"{path}: empty; expected rows of {meaning}")
    if table.shape[1] not in columns:
        expected = " or ".join(map(str, columns))
        raise DataError(f"{path}: {table.shape[1]} columns, expected {expected} ({meaning})")
    return table


def _what_is_wrong(path: Path, columns: tuple[int, ...], meaning: str) -> DataError:
    """The first line that is not like the others."""
    lines = path.read_text(encoding="utf-8-sig").replace(",", " ").splitlines()
    length = 0
    for number, line in enumerate(lines, 1):
        values = line.partition("#")[0].split()
        length = length or len(values)
        if values and len(values) != length:
            return DataError(f"{path}, line {number}: {len(values)} values, expected {length} ({meaning})")
        for value in values:
            if not _is_number(value):
                return DataError(f"{path}, line {number}: '{value}' is not a number ({meaning})")
    return DataError(f"{path}: not a table of numbers with {columns} columns ({meaning})")


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
    with path.open(encoding="utf-8-sig") as stream:
        header = [name.strip().lower() for name in stream.readline().split(",")]
        missing = [name for name in wanted if name.lower() not in header]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(missing)}; it has {', '.join(filter(None, header))}"
            )
        index = [header.index(name.lower()) for name in wanted]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                table = np.loadtxt(stream, delimiter=",", usecols=index, ndmin=2)
        except ValueError as error:
            raise DataError(
                f"{path}: {error} (reading {', '.join(wanted)}; lines count from the header)"
            ) from None
    if not table.size:
        raise DataError(f"{path}: a header and no rows")
    return table
