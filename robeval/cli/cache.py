"""`robeval cache`: what is kept, whether it is intact, and what may go."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robeval.errors import UsageError

if TYPE_CHECKING:
    from robeval.engine.cache import Cache
    from robeval.results.remote import Remote

FAILED = 3
ABANDONED_S = 3600.0
"""A half-written entry that nobody has touched for so long was left by a killed process."""
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_TIMES_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@dataclass(frozen=True)
class Kept:
    """One entry of the cache."""

    kind: str
    key: str
    folder: Path
    size: int
    used: float
    """When it was last made or read, seconds since the epoch; at a URL: made."""
    remote: Remote | None = None
    """Where it lies; `folder` is then its copy on this machine, if there is one."""

    @property
    def is_half(self) -> bool:
        """Whether it is being written, or was when its process was killed."""
        return self.folder.name.startswith(".")

    @property
    def object_name(self) -> str:
        """What it is called at its URL."""
        from robeval.engine.cache import archive_name

        return archive_name(self.kind, self.key)

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return f"{self.remote.url}/{self.object_name}" if self.remote else str(self.folder)


@click.group("cache")
def command() -> None:
    """Look at, check or shrink the cache of trained victims and finished cells.

    ROBEVAL_CACHE_DIR moves it, also to a URL (s3://...). What is in it can be made again.
    """


@command.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def info(as_json: bool) -> None:
    """Where the cache is, what it holds, how large and how old that is."""
    from robeval.results.places import shown

    cache = _cache()
    kept = list(entries(cache))
    kinds = {kind: [entry for entry in kept if entry.kind == kind] for kind in sorted({e.kind for e in kept})}
    if as_json:
        rows = {
            kind: {"entries": len(found), "bytes": sum(entry.size for entry in found)}
            for kind, found in kinds.items()
        }
        click.echo(json.dumps({"schema": 1, "folder": shown(cache.folder), "kinds": rows}, indent=2))
        return
    click.echo(f"{shown(cache.folder)}: {amount(kept)}")
    for kind, found in kinds.items():
        click.echo(f"  {kind}: {amount(found)}, last used {_ages(found)} ago")


@command.command("verify")
@click.pass_context
def verify(context: click.Context) -> None:
    """Read every entry and compare its checksums; exits with 3 when one is damaged.

    A damaged entry is never used: the next run that needs it makes it again.
    """
    cache = _cache()
    kept = [entry for entry in entries(cache) if not entry.is_half]
    broken = damaged(kept)
    for entry in broken:
        click.echo(f"damaged: {entry.place}")
    click.echo(f"{len(kept) - len(broken)} of {len(kept)} entries are intact")
    if broken:
        click.echo("remove the damaged ones with: robeval cache prune --damaged", err=True)
    context.exit(FAILED if broken else 0)


@command.command("prune")
@click.option("--older-than", metavar="AGE", help="Not used for so long: 30d, 12h, 2w.")
@click.option("--larger-than", metavar="SIZE", help="Entries larger than this: 500MB, 2GiB.")
@click.option("--keep", metavar="SIZE", help="Least recently used ones, until the rest fits into this.")
@click.option("--damaged", "only_damaged", is_flag=True, help="Entries whose checksums are wrong.")
@click.option("--all", "everything", is_flag=True, help="All of it.")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
def prune(
    older_than: str | None,
    larger_than: str | None,
    keep: str | None,
    only_damaged: bool,
    everything: bool,
    dry_run: bool,
) -> None:
    """Remove entries; several conditions must all hold. Entries that a run is using stay."""
    if not (older_than or larger_than or keep or only_damaged or everything):
        raise UsageError(
            "say what may go: --older-than 30d, --larger-than 500MB, --keep 5GB, --damaged or --all. "
            "With --dry-run nothing is removed."
        )
    if everything and (older_than or larger_than or keep or only_damaged):
        raise UsageError("--all removes everything; leave out the other conditions, or leave out --all")
    age_s, size, limit = (
        reader(text) if text else None
        for reader, text in ((seconds, older_than), (size_of, larger_than), (size_of, keep))
    )
    cache, now = _cache(), time.time()
    kept = list(entries(cache))
    chosen = [entry for entry in kept if not entry.is_half or now - entry.used > ABANDONED_S]
    if age_s is not None:
        chosen = [entry for entry in chosen if now - entry.used > age_s]
    if size is not None:
        chosen = [entry for entry in chosen if entry.size > size]
    if only_damaged:
        chosen = damaged(chosen)
    if limit is not None:
        chosen = _beyond(chosen, sum(entry.size for entry in kept) - int(limit))
    if dry_run:
        click.echo(f"would remove {amount(chosen)} of {amount(kept)}")
        return
    gone = [entry for entry in chosen if remove(cache, entry)]
    busy = len(chosen) - len(gone)
    click.echo(f"removed {amount(gone)} of {amount(kept)}" + (f"; {busy} in use stay" if busy else ""))


def entries(cache: Cache) -> Iterator[Kept]:
    """Everything in the cache but its locks, in a stable order; of a cache at a URL, what is there."""
    if cache.remote is not None:
        yield from _entries_there(cache, cache.remote)
        return
    for folder in sorted(cache.folder.glob("*/??/*")):
        with contextlib.suppress(FileNotFoundError):  # another process may remove it meanwhile
            if folder.is_dir():
                files = [file.stat() for file in folder.rglob("*") if file.is_file()]
                key = folder.name.split(".")[1] if folder.name.startswith(".") else folder.name
                kind = folder.parents[1].name
                size = sum(state.st_size for state in files)
                yield Kept(kind, key, folder, size, folder.stat().st_mtime)


def _entries_there(cache: Cache, remote: Remote) -> Iterator[Kept]:
    for name, found in sorted(remote.listing().items()):
        kind, _, rest = name.partition("/")
        if name.endswith(".zip") and rest:
            key = name.rpartition("/")[2].removesuffix(".zip")
            used = time.time() if found.changed_s is None else found.changed_s
            yield Kept(kind, key, cache.entry(kind, key), found.size, used, remote)


def damaged(kept: Sequence[Kept]) -> list[Kept]:
    """The entries whose files are not what was written."""
    return [entry for entry in kept if _is_damaged(entry)]


def _is_damaged(entry: Kept) -> bool:
    from robeval.engine.cache import is_intact
    from robeval.results.archive import unpack

    if entry.remote is not None:
        content = entry.remote.read(entry.object_name)
        return content is not None and unpack(content) is None
    return not is_intact(entry.folder) and entry.folder.is_dir()


def remove(cache: Cache, entry: Kept) -> bool:
    """Take an entry away as a whole; False when a run holds its lock."""
    from filelock import Timeout

    try:
        with cache.lock(entry.kind.removesuffix("s"), entry.key).acquire(timeout=0):
            if entry.remote is not None:
                entry.remote.remove([entry.object_name])
            aside = entry.folder.with_name(f".{entry.key}.{uuid.uuid4().hex[:8]}.part")
            with contextlib.suppress(FileNotFoundError):
                os.replace(entry.folder, aside)
                shutil.rmtree(aside)
        return True
    except Timeout:
        return False


def seconds(text: str) -> float:
    """An age such as 30d, 12h or 2w. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if not match:
        raise UsageError(f"'{text}' is no age; write a number and s, m, h, d or w, as in 30d")
    return float(match[1]) * _TIMES_S[match[2]]


def size_of(text: str) -> float:
    """A size in bytes such as 500MB or 2GiB. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    if not match or match[2] not in _UNITS:
        raise UsageError(f"'{text}' is no size; write a number and a unit, as in 500MB or 2GiB")
    return float(match[1]) * _UNITS[match[2]]


def _beyond(candidates: list[Kept], excess: int) -> list[Kept]:
    """The least recently used candidates that together free `excess` bytes."""
    chosen = []
    for entry in sorted(candidates, key=lambda entry: entry.used):
        if excess <= 0:
            break
        chosen.append(entry)
        excess -= entry.size
    return chosen


def amount(kept: Sequence[Kept]) -> str:
    """How many entries, and how large they are together."""
    size = sum(entry.size for entry in kept)
    return f"{len(kept)} {'entry' if len(kept) == 1 else 'entries'}, {size / 2**20:.1f} MiB"


def _ages(kept: Sequence[Kept]) -> str:
    ages = [timedelta(seconds=round(max(time.time() - entry.used, 0))) for entry in kept]
    newest, oldest = min(ages), max(ages)
    return str(newest) if newest == oldest else f"{newest} to {oldest}"


def _cache() -> Cache:
    from robeval.engine.cache import Cache, cache_directory

    return Cache(cache_directory())
