"""Where plugins come from: our own packages, installed guests, single files."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from robeval.errors import MissingFile, PluginError, RobevalError
from robeval.plugins.registry import Entry, Registry

GROUP = "robeval.plugins"
BUILT_IN = (
    "robeval.domains.builtin",
    "robeval_attacks",
    "robeval_defenses",
    "robeval_datasets",
    "robeval.trust.audit.builtin",
)


def built_in() -> Registry:
    """Everything that ships with robeval; nothing is imported but the lists of names."""
    registry = Registry()
    for module in BUILT_IN:
        importlib.import_module(module).register(registry)
    return registry


def discover(plugin_files: Sequence[str | Path] = ()) -> Registry:
    """Built-ins, then the given files, then installed guests.

    A broken guest is kept in `Registry.broken` and breaks nothing else; a broken file raises, since it was
    asked for by name: MissingFile, PluginError, or DuplicatePlugin with both places.
    """
    registry = built_in()
    for path in dict.fromkeys(Path(file).expanduser().resolve() for file in plugin_files):
        add_file(registry, path)
    for guest in sorted(entry_points(group=GROUP), key=lambda guest: guest.name):
        registry.add_all(partial(_register_guest, guest), _place(guest))
    return registry


def add_file(registry: Registry, path: Path) -> None:
    """Run the `register(registry)` of a single file, or of a package's folder.

    Targets inside it may be classes, or text under the file's own name (``"my_attack:MyAttack"``).
    """
    module = _module_of(path)
    register = getattr(module, "register", None)
    if not callable(register):
        raise PluginError(_without_register(path))
    before = set(registry.entries)
    try:
        register(registry)
    except RobevalError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{_where(path, error)}: register failed: {type(error).__name__}: {error}"
        ) from error
    for key in registry.entries.keys() - before:
        registry.entries[key] = _at_home(registry.entries[key], path.stem, module.__name__)


def _at_home(entry: Entry, written: str, real: str) -> Entry:
    """The entry with a target inside the file under the name that the file was loaded by."""
    target = entry.target
    if isinstance(target, str) and target.startswith((f"{written}:", f"{written}.")):
        return replace(entry, target=real + target.removeprefix(written))
    return entry


def _register_guest(guest: EntryPoint, registry: Registry) -> None:
    register: Callable[[Registry], None] = guest.load()
    register(registry)


def _place(guest: EntryPoint) -> str:
    owner = f"{guest.dist.name} {guest.dist.version}" if guest.dist else "an unknown package"
    return f"{owner} (entry point {guest.name} = {guest.value})"


class SourceAlone(SourceFileLoader):
    """Reads a plugin's source and no byte code of it.

    Byte code counts as fresh when its second and its size fit: an edit within the second would run as what it was,
    and its figures be kept under the fingerprint of what it is.
    """

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Not to be had, which is how Python's loader is told to leave byte code alone."""
        raise OSError(f"no byte code for {path}")


def _module_of(path: Path) -> ModuleType:
    """The file as a module of its own, known to `sys.modules` so that its classes' source can be read."""
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file():
        raise MissingFile(file, "--plugin takes a Python file, or a folder with an __init__.py.")
    name = f"robeval_plugin_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}_{path.stem}"
    if file.suffix != ".py":
        raise PluginError(f"{file} is not a Python file (expected a name that ends in .py)")
    spec = importlib.util.spec_from_file_location(name, file, loader=SourceAlone(name, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise PluginError(f"{_where(path, error)}: {type(error).__name__}: {error}") from error
    return module


def _where(path: Path, error: BaseException) -> str:
    """`path:line` of the deepest frame inside the file."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{path}:{error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _without_register(path: Path) -> str:
    return (
        f"{path} has no register function, so nothing says what it brings. Add:\n"
        "    def register(registry):\n"
        '        registry.attack("DOMAIN/my-attack", MyAttack, "What it does, in one line.")'
    )
