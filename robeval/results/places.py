"""Folders at URLs: whatever fsspec reaches, worked on in a mirror on this machine.

A run or cache at a URL has a folder here that looks like any other, and every file that matters is sent to the URL as
a whole as soon as it is finished. The URL is the truth: the mirror is brought up to date from it before it is used,
and may be deleted between runs. A note beside the mirror says whose it is, so that every process that is given the
folder sends what it writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_cache_dir

from robeval.results.files import write_atomically
from robeval.results.remote import Found, Remote

NOTE = "robeval-mirror.json"
TOKENS = "robeval-mirror.tokens"
LOCAL = ("file", "local")
DEPTH = 2
"""A run may lie in a mirror of a folder of runs, and its audit in a folder of its own."""


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is named by a URL rather than by a path."""
    return "://" in os.fspath(place)


def local_folder(place: str | os.PathLike[str], home: Path | None = None) -> Path:
    """The folder to work in: the place itself, or the mirror of a URL; nothing is transferred.

    Mirrors are kept in `home`, by default in the user's cache folder.
    """
    text = os.fspath(place)
    if not is_url(text):
        return Path(text)
    if urlsplit(text).scheme in LOCAL:
        return Path(text.partition("://")[2])
    return mirror_at(text, home).folder


def mirror_at(url: str, home: Path | None = None) -> Mirror:
    """The mirror of a URL, noted down for other processes. Raises UsageError where no such URL can be used."""
    remote = Remote(url.rstrip("/"))
    remote.check()
    digest = hashlib.blake2b(remote.url.encode(), digest_size=8).hexdigest()
    beside = (home or Path(user_cache_dir("robeval")) / "mirrors") / digest
    if not (beside / NOTE).is_file():
        write_atomically(beside / NOTE, json.dumps({"url": remote.url}).encode())
    return Mirror(remote, beside / (remote.url.rpartition("/")[2] or "root"))


def mirror_of(folder: Path) -> Mirror | None:
    """The mirror that a folder is, or lies in; None for an ordinary folder."""
    for root in (folder, *folder.parents[:DEPTH]):
        try:
            url = str(json.loads((root.parent / NOTE).read_bytes())["url"])
        except (OSError, ValueError, KeyError):
            continue
        return Mirror(Remote(url), root)
    return None


def shown(folder: Path) -> str:
    """The place as the user named it: the URL of a mirror, the path of any other folder."""
    mirror = mirror_of(folder)
    if mirror is None:
        return str(folder)
    rest = folder.relative_to(mirror.folder).as_posix()
    return mirror.remote.url if rest == "." else f"{mirror.remote.url}/{rest}"


@dataclass(frozen=True)
class Mirror:
    """A folder here and the URL that it mirrors. Names are relative to both, with slashes."""

    remote: Remote
    folder: Path

    def name(self, path: Path) -> str:
        """What a file of the mirror is called at the URL."""
        return path.relative_to(self.folder).as_posix()

    def send(self, path: Path, content: bytes, *, final: bool = False) -> None:
        """Put a file's content at the URL, as a whole. A `final` one is not fetched again while it stays the same."""
        name = self.name(path)
        self.remote.write(name, content)
        if final:
            found = self.remote.about(name)
            if found is not None:
                self._know({name: found})

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files away, here and at the URL."""
        gone = list(paths)
        for path in gone:
            path.unlink(missing_ok=True)
        self.remote.remove(map(self.name, gone))

    def fetch(self, names: Iterable[str]) -> None:
        """Bring some files here, whatever is here already."""
        for name, content in self.remote.read_many(list(names)):
            if content is not None:
                self._keep(name, content)

    def update(self, wanted: Callable[[str], bool] = lambda name: True, *, prune: bool = True) -> None:
        """Make the mirror what the URL holds; with `prune` files that are not there go."""
        listing = {name: found for name, found in self.remote.listing().items() if wanted(name)}
        known = self._tokens
        old = [
            name
            for name, found in listing.items()
            if known.get(name) != found.token or not (self.folder / name).is_file()
        ]
        for batch in _batches(old, listing):
            self.fetch(batch)
            self._know({name: listing[name] for name in batch})
        if prune:
            self._prune(listing, wanted)

    def _prune(self, listing: Mapping[str, Found], wanted: Callable[[str], bool]) -> None:
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            name = self.name(path)
            if name not in listing and not path.name.startswith(".") and wanted(name):
                path.unlink(missing_ok=True)

    def _keep(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        beside.write_bytes(content)
        os.replace(beside, path)

    @cached_property
    def _tokens(self) -> dict[str, str]:
        """What each file was at the URL when it was the same as here."""
        path = self.folder.parent / TOKENS
        found: dict[str, str] = {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                name, token = json.loads(line)
            except ValueError:
                continue  # cut short by a kill
            found[name] = token
        return found

    def _know(self, files: Mapping[str, Found]) -> None:
        lines = "".join(json.dumps([name, found.token]) + "\n" for name, found in files.items())
        with open(self.folder.parent / TOKENS, "a") as stream:
            stream.write(lines)
        self._tokens.update({name: found.token for name, found in files.items()})


MOST_FILES, MOST_BYTES = 64, 64 * 2**20


def _batches(names: list[str], listing: Mapping[str, Found]) -> Iterable[list[str]]:
    """Names in groups that fit into memory together."""
    batch: list[str] = []
    size = 0
    for name in names:
        if batch and (len(batch) == MOST_FILES or size + listing[name].size > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += listing[name].size
    if batch:
        yield batch
