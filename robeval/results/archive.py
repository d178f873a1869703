"""Several files as one object: a ZIP archive whose bytes follow from its content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same files give the same bytes."""


MADE = ".made"


class Unpacked(NamedTuple):
    """What an archive held."""

    files: dict[str, bytes]
    made_s: float
    """Seconds since the epoch."""


def pack(files: Mapping[str, bytes], made_s: float) -> bytes:
    """An archive of files, with the time at which they were made. Weights and Parquet do not shrink: no compression."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in sorted([*files.items(), (MADE, repr(made_s).encode())]):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
    return stream.getvalue()


def unpack(content: bytes) -> Unpacked | None:
    """The files of an archive; None when it is damaged, by its own checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if any("/" in name or "\\" in name or name in ("", ".", "..") for name in names):
                return None  # an entry has no folders, and nothing is written outside of it
            files = {name: archive.read(name) for name in names}
        return Unpacked(files, float(files.pop(MADE)))
    except (KeyError, zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        return None
