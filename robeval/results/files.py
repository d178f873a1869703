"""Files that are there as a whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path


def checksum(content: bytes) -> str:
    """BLAKE2 digest of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def file_checksum(path: Path) -> str:
    """BLAKE2 digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def write_atomically(path: Path, content: bytes) -> str:
    """The whole content or none of it, also after a kill at any moment; returns its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(beside, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return checksum(content)
