"""Names and what stands behind them. Nothing is imported until it is used."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from robeval.errors import DuplicatePlugin, MissingExtra, PluginError, UnknownPlugin

KINDS = ("check", "attack", "defense", "dataset", "victim", "domain")

_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"({_WORD}/)?{_WORD}")
_TARGET = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


@dataclass(frozen=True)
class Entry:
    """One registered plugin."""

    kind: str
    name: str
    target: str | type
    summary: str
    extra: str | None
    place: str

    @property
    def domain(self) -> str:
        """The domain that it belongs to; '*' for every domain."""
        return self.name.split("/")[0] if "/" in self.name else ("*" if self.kind != "domain" else self.name)

    @property
    def short(self) -> str:
        """The name inside its domain."""
        return self.name.split("/")[-1]

    def load(self) -> Any:
        """The class behind the name.

        Raises MissingExtra when an optional dependency is absent, PluginError when the plugin is broken.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        owner = f"{self.kind} '{self.name}' ({self.place})"
        try:
            found = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if missing and missing != module.split(".")[0]:
                raise MissingExtra(f"{self.kind} '{self.name}'", missing, self.extra) from error
            raise PluginError(f"{owner} cannot be imported: {error}") from error
        except Exception as error:
            raise PluginError(f"{owner} cannot be imported: {type(error).__name__}: {error}") from error
        if not isinstance(found, type):
            raise PluginError(f"{owner}: {self.target} is {found!r}, expected a class")
        return found


@dataclass
class Registry:
    """The one door for built-in and guest plugins.

    A name is ``domain/plugin-name``; a domain has no prefix, and neither has a plugin that serves every
    domain. The target is ``"module:Class"``, imported on use, or a class (in a notebook or a test).
    """

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Guests that could not be registered: (where, why)."""
    place: str | None = None

    def attack(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register an attack."""
        self._add("attack", name, target, summary, extra)

    def defense(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register a defense."""
        self._add("defense", name, target, summary, extra)

    def dataset(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register a dataset."""
        self._add("dataset", name, target, summary, extra)

    def victim(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register a victim."""
        self._add("victim", name, target, summary, extra)

    def domain(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register a domain."""
        self._add("domain", name, target, summary, extra)

    def check(self, name: str, target: str | type, summary: str = "", *, extra: str | None = None) -> None:
        """Register an audit check."""
        self._add("check", name, target, summary, extra)

    def _add(self, kind: str, name: str, target: str | type, summary: str, extra: str | None) -> None:
        place = self.place or _caller()
        if not _NAME.fullmatch(name) or (kind == "domain" and "/" in name):
            wanted = (
                "a plain word, as in 'trajectory'"
                if kind == "domain"
                else "'domain/plugin-name', as in 'trajectory/sa-attack'"
            )
            raise PluginError(
                f"'{name}' cannot name a {kind} (at {place}): expected {wanted}, as in 'sa-attack'"
            )
        if isinstance(target, str) and not _TARGET.fullmatch(target):
            raise PluginError(
                f"the {kind} '{name}' (at {place}) has target '{target}', expected 'module:Class'"
            )
        if not summary and isinstance(target, type):
            summary = documentation(target).split("\n")[0]
        entry = Entry(kind, name, target, summary, extra, place)
        known = self.entries.get((kind, name))
        if known is not None:
            raise DuplicatePlugin(kind, name, known.place, entry.place)
        self.entries[kind, name] = entry

    def find(self, kind: str, name: str, domain: str | None = None) -> Entry:
        """The entry of that name; inside `domain` the prefix may be dropped.

        Raises UnknownPlugin with the nearest names.
        """
        candidates = [name, f"{domain}/{name}"] if domain else [name]
        for candidate in candidates:
            if (kind, candidate) in self.entries:
                return self.entries[kind, candidate]
        known = {entry.name if "/" in name or not domain else entry.short for entry in self.of(kind, domain)}
        raise UnknownPlugin(kind, name, known, domain or "")

    def of(self, kind: str, domain: str | None = None) -> list[Entry]:
        """All entries of a kind (those that `domain` can use), sorted by name."""
        found = [
            e for (k, _), e in self.entries.items() if k == kind and (not domain or e.domain in (domain, "*"))
        ]
        return sorted(found, key=lambda entry: (entry.domain, entry.name))

    def load(self, kind: str, name: str, domain: str | None = None) -> Any:
        """The class behind a name."""
        return self.find(kind, name, domain).load()

    def add_all(self, register: Callable[[Registry], None], place: str) -> None:
        """Run a guest's register function; a failure is kept in `broken` and takes back what it had added."""
        before = dict(self.entries)
        self.place = place
        try:
            register(self)
        except (Exception, SystemExit) as error:
            self.entries = before
            self.broken.append((place, f"{type(error).__name__}: {error}"))
        finally:
            self.place = None

    def names(self, kind: str, domain: str | None = None) -> Iterable[str]:
        """Short names inside a domain, full ones otherwise."""
        return [entry.short if domain else entry.name for entry in self.of(kind, domain)]


def documentation(cls: type) -> str:
    """The class's own docstring; neither a base's nor the signature that `dataclass` makes up."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "" if text.startswith(f"{cls.__name__}(") else text


def _caller() -> str:
    """Where the register function stands: the first frame outside this file and run-time type checkers."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_inside(module: str) -> bool:
    return module == __name__ or module.split(".")[0] in ("jaxtyping", "beartype")
