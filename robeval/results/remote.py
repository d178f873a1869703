"""Objects under a URL, through fsspec: read, written as a whole, listed; its errors in words for people."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from robeval.errors import MissingExtra, RobevalError, StoreError, UsageError, nearest

THREADS = 8
DIGESTS = ("ETag", "etag", "md5Hash", "content_md5")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
EXTRAS = {"s3fs": "s3"}
"""Modules that an extra of ours brings."""
PACKAGES = {"smbclient": "smbprotocol"}
"""Modules whose package has another name."""


class Found(NamedTuple):
    """An object in a listing."""

    size: int
    token: str
    """Changes whenever the object does, as far as its store tells."""
    changed_s: float | None
    """When it was written, seconds since the epoch; None where the store does not say."""


@dataclass(frozen=True)
class Remote:
    """Everything under one URL."""

    url: str

    def check(self) -> None:
        """Raises UsageError, with what to install, when this URL cannot be used at all."""
        self._opened  # noqa: B018

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec
        from fsspec.registry import available_protocols

        protocol = self.url.partition("://")[0].split("::")[0]
        try:
            system, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            # fsspec's own sentence is vague about the package; the failed import behind it is not.
            module = getattr(error.__cause__, "name", None) or getattr(error, "name", None) or protocol
            module = module.split(".")[0]
            package = PACKAGES.get(module, module)
            raise MissingExtra(self.url, package, EXTRAS.get(module)) from None
        except ValueError as error:
            if protocol in available_protocols():
                raise UsageError(f"{self.url} is no URL that can be used: {error}") from None
            near = nearest(protocol, available_protocols())
            hint = f" Did you mean {near[0]}://?" if near else ""
            raise UsageError(
                f"{self.url}: no such protocol '{protocol}'.{hint} Common ones: s3, gs, abfs, sftp, hdfs, memory."
            ) from None
        except Exception as error:
            raise UsageError(_told(self.url, "cannot be reached", error)) from None
        return system, root.rstrip("/")

    @property
    def system(self) -> Any:
        """The fsspec file system."""
        return self._opened[0]

    @property
    def _renames(self) -> bool:
        """Whether this is a file system, with folders and renaming, rather than a store of whole objects."""
        from fsspec import AbstractFileSystem

        return type(self.system).mv is not AbstractFileSystem.mv

    def path(self, name: str) -> str:
        """An object's path in its file system."""
        return f"{self._opened[1]}/{name}" if name else self._opened[1]

    def read(self, name: str) -> bytes | None:
        """An object's content; None if there is no such object."""
        with self._explained("cannot be read"):
            try:
                return bytes(self.system.cat_file(self.path(name)))
            except FileNotFoundError:
                return None

    def read_many(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Several objects, several at a time, in order."""
        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            yield from zip(names, pool.map(self.read, names), strict=True)

    def write(self, name: str, content: bytes) -> None:
        """Put an object there as a whole: whoever reads it finds all of the old or all of the new."""
        path = self.path(name)
        folder, _, last = path.rpartition("/")
        with self._explained("cannot be written"):
            if not self._renames:
                self.system.pipe_file(path, content)  # it appears when it is complete
                return
            beside = f"{folder}/.{last}.{uuid.uuid4().hex[:8]}.part"
            self.system.makedirs(folder, exist_ok=True)
            self.system.pipe_file(beside, content)
            self.system.mv(beside, path)

    def create(self, name: str, content: bytes) -> bool:
        """Put a new object there; False when there is one of that name already."""
        with self._explained("cannot be written"):
            if self._renames:
                self.system.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)
            try:
                self.system.pipe_file(self.path(name), content, mode="create")
            except FileExistsError:
                return False
            except (TypeError, NotImplementedError):  # a store that cannot tell
                self.write(name, content)
        return True

    def about(self, name: str) -> Found | None:
        """Size and state of an object; None if there is no such object."""
        with self._explained("cannot be read"):
            self.system.invalidate_cache()
            try:
                return _found(self.system.info(self.path(name)))
            except FileNotFoundError:
                return None

    def listing(self, under: str = "") -> dict[str, Found]:
        """All objects by name, in a folder or in all; nothing where there is none."""
        with self._explained("cannot be listed"):
            self.system.invalidate_cache()
            try:
                found = self.system.find(self.path(under), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self.system._strip_protocol(self.path(""))) + 1
        names = {path[start:]: _found(about) for path, about in found.items()}
        return {name: about for name, about in names.items() if not _is_hidden(name)}

    def remove(self, names: Iterable[str]) -> None:
        """Take objects away; those that are gone already do not matter."""
        with ThreadPoolExecutor(max_workers=THREADS) as pool:
            list(pool.map(self._remove, names))

    def _remove(self, name: str) -> None:
        with self._explained("cannot be changed"):
            try:
                self.system.rm_file(self.path(name))
            except FileNotFoundError:
                return

    @contextmanager
    def _explained(self, problem: str) -> Iterator[None]:
        try:
            yield
        except RobevalError:
            raise
        except Exception as error:
            raise StoreError(_told(self.url, problem, error)) from error


def _found(about: dict[str, Any]) -> Found:
    size = int(about.get("size") or 0)
    time = next((about[name] for name in TIMES if about.get(name)), None)
    digest = next((about[name] for name in DIGESTS if about.get(name)), None)
    changed = time.timestamp() if isinstance(time, datetime) else time
    token = f"{size} {digest or changed or uuid.uuid4().hex}"
    return Found(size, token, float(changed) if isinstance(changed, int | float) else None)


def _is_hidden(name: str) -> bool:
    """Half-written objects and leases."""
    return name.rpartition("/")[2].startswith(".")


def _told(url: str, problem: str, error: BaseException) -> str:
    """One sentence: what failed, why, and what to look at."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        advice = "Is there such a bucket? Robeval makes none."
    elif isinstance(error, PermissionError) or "Credentials" in kind:
        advice = "Check the credentials and what they allow (for S3: AWS_ACCESS_KEY_ID, AWS_PROFILE...)."
    elif "Connect" in kind or isinstance(error, ConnectionError | TimeoutError):
        advice = "Check the network and the address (for S3: AWS_ENDPOINT_URL)."
    else:
        advice = ""
    return f"{url} {problem}: {text or kind}. {advice}".rstrip()
