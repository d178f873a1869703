"""One process at a time writes to a run folder; the lock of a killed process holds nobody up for long."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from robeval.errors import StoreError, UsageError
from robeval.results.files import write_atomically
from robeval.results.places import Mirror
from robeval.results.remote import Remote

LOCK = ".lock"
HOLDER = ".lock.json"
"""Who holds the lock, for the message to the next one; the lock itself is the system's and dies with its process."""
NAMES = (LOCK, HOLDER)
LEASE = ".lease.json"
"""The lock at a URL: whoever holds it says again and again that it is still there."""
GLANCE_S = 0.4
"""Longer than `is_held` takes to look, so that nobody is refused because of a look."""
BEAT_S = 20.0
EXPIRES_S = 90.0


@contextmanager
def held(folder: Path, mirror: Mirror | None = None) -> Iterator[None]:
    """Hold the lock of a run folder, and of the URL that it mirrors.

    Raises UsageError, which names the holder, when another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=GLANCE_S, poll_interval=GLANCE_S / 8)
    except Timeout:
        raise UsageError(_taken(mirror.remote.url if mirror else str(folder), read_holder(folder))) from None
    try:
        write_atomically(folder / HOLDER, json.dumps(_me()).encode())
        with leased(mirror.remote) if mirror else contextlib.nullcontext():
            yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process on this machine is writing to the folder now."""
    if not (folder / LOCK).is_file():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def read_holder(folder: Path) -> dict[str, Any]:
    """What the holder said of itself; nothing if it has not yet."""
    try:
        return _parsed((folder / HOLDER).read_bytes())
    except OSError:
        return {}


@contextmanager
def leased(remote: Remote) -> Iterator[None]:
    """Hold the lease of a URL, which other machines respect; it runs out when its holder is killed.

    Raises UsageError when another process holds it, or when nothing can be written there.
    """
    mine = _me() | {"token": uuid.uuid4().hex}
    try:
        _take(remote, mine)
    except StoreError as error:
        raise UsageError(str(error)) from None
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            with contextlib.suppress(StoreError):  # the next beat, or the run's own writing, will tell
                remote.write(LEASE, _dated(mine))

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        with contextlib.suppress(StoreError):  # it runs out by itself
            remote.remove([LEASE])


def _take(remote: Remote, mine: dict[str, Any]) -> None:
    found = remote.read(LEASE)
    if found is not None:
        holder = _parsed(found)
        left_s = _left_s(holder)
        if left_s > 0:
            more = f"\nIf that process is gone, the lock runs out in {left_s:.0f} s."
            raise UsageError(_taken(remote.url, holder) + more)
        remote.remove([LEASE])
    created = remote.create(LEASE, _dated(mine))
    # Not every store can refuse to replace: what is there now says who won.
    if not created or _parsed(remote.read(LEASE) or b"").get("token") != mine["token"]:
        raise UsageError(_taken(remote.url, _parsed(remote.read(LEASE) or b"")))


def _left_s(holder: dict[str, Any]) -> float:
    """For how long a lease still counts."""
    try:
        left_s = float(holder["beat"]) + EXPIRES_S - time.time()
        if holder["host"] == socket.gethostname() and not _is_alive(int(holder["pid"])):
            return 0.0
    except (KeyError, TypeError, ValueError):
        return 0.0
    return left_s


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _dated(mine: dict[str, Any]) -> bytes:
    return json.dumps(mine | {"beat": time.time()}).encode()


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _me() -> dict[str, Any]:
    """Who this process is, for others who want the same folder."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _taken(where: str, holder: dict[str, Any]) -> str:
    """The message to whoever comes second."""
    who = "another process"
    if holder:
        who = f"process {holder.get('pid')} on {holder.get('host')} (since {holder.get('since')})"
    return (
        f"{where} is being written by {who}. Wait until it is done, end it, or choose another --out; "
        "what is finished here is then found in the cache."
    )
