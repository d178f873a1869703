"""The content-addressed cache: trained victims and finished cells.

An entry is a folder that appears at once (written beside, then renamed) with a checksum for each of its files. A
damaged entry is dropped and made again; it is never used. A cache at a URL holds each entry as one archive, which is
unpacked here when it is first needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_dir

from robeval.results.archive import pack, unpack
from robeval.results.files import checksum, file_checksum
from robeval.results.places import local_folder, mirror_of
from robeval.results.remote import Remote

MANIFEST = "checksums.json"


def cache_directory() -> Path:
    """Where robeval keeps what can be made again: `ROBEVAL_CACHE_DIR`, or the user's cache folder.

    Of a URL it is the mirror. Raises UsageError where the URL cannot be used.
    """
    return local_folder(os.environ.get("ROBEVAL_CACHE_DIR") or user_cache_dir("robeval"))


def content_key(kind: str, parts: Mapping[str, Any]) -> str:
    """The address of whatever is determined by `parts` (JSON values)."""
    text = json.dumps({"kind": kind, **parts}, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder of content-addressed entries, and the URL that it mirrors, if any."""

    folder: Path
    fresh: bool = False
    """Ignore what is there; what is made replaces it."""
    since: float = 0.0
    """Ignore what was made before (seconds since the epoch): workers of a fresh run share what they make."""

    @cached_property
    def remote(self) -> Remote | None:
        """Where entries are shared with other machines."""
        mirror = mirror_of(self.folder)
        return mirror.remote if mirror else None

    def entry(self, kind: str, key: str) -> Path:
        """Where an entry lives, whether or not it exists."""
        return self.folder / kind / key[:2] / key

    def find(self, kind: str, key: str) -> Path | None:
        """The folder of an intact entry, or None; a damaged one is removed."""
        if self.fresh:
            return None
        return self._find_here(kind, key) or self._find_there(kind, key)

    def _find_here(self, kind: str, key: str) -> Path | None:
        folder = self.entry(kind, key)
        if not folder.is_dir() or not self._is_recent(folder):
            return None
        if is_intact(folder):
            with contextlib.suppress(OSError):  # a cache that is only read
                os.utime(folder)  # when it was last of use, for `robeval cache prune`
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def _find_there(self, kind: str, key: str) -> Path | None:
        """The entry from the URL, unpacked here; a damaged archive counts as none."""
        content = self.remote.read(archive_name(kind, key)) if self.remote else None
        unpacked = unpack(content) if content is not None else None
        if unpacked is None:
            return None
        folder = self._put_here(kind, key, unpacked.files)
        os.utime(folder / MANIFEST, (unpacked.made_s, unpacked.made_s))
        return folder if self._is_recent(folder) else None

    def _is_recent(self, folder: Path) -> bool:
        manifest = folder / MANIFEST
        return not self.since or (manifest.is_file() and manifest.stat().st_mtime >= self.since)

    def put(self, kind: str, key: str, files: Mapping[str, bytes]) -> Path:
        """Store an entry as a whole and return its folder; an existing one is replaced."""
        folder = self._put_here(kind, key, files)
        if self.remote is not None:
            self.remote.write(archive_name(kind, key), pack(files, (folder / MANIFEST).stat().st_mtime))
        return folder

    def _put_here(self, kind: str, key: str, files: Mapping[str, bytes]) -> Path:
        final = self.entry(kind, key)
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = final.with_name(f".{key}.{uuid.uuid4().hex[:8]}.part")
        beside.mkdir()
        try:
            for name, content in files.items():
                (beside / name).write_bytes(content)
            sums = {name: checksum(content) for name, content in files.items()}
            (beside / MANIFEST).write_text(json.dumps(sums, indent=1, sort_keys=True))
            if final.exists():
                shutil.rmtree(final, ignore_errors=True)
            try:
                os.replace(beside, final)
            except OSError:
                # Another process was faster with the same content.
                if not is_intact(final):
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return final

    def lock(self, kind: str, key: str) -> FileLock:
        """Held while an entry is being made, so that it is made once."""
        path = self.folder / "locks" / f"{kind}-{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)


def archive_name(kind: str, key: str) -> str:
    """What an entry is called at a URL."""
    return f"{kind}/{key[:2]}/{key}.zip"


def is_intact(folder: Path) -> bool:
    """Whether every file of an entry is there with its recorded checksum."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())
        return all(file_checksum(folder / name) == recorded for name, recorded in sums.items())
    except (OSError, ValueError, AttributeError):
        return False
