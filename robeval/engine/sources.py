"""What code a plugin consists of: its module and everything of robeval and of its own package that it imports.

Changing an attack's file changes its digest and no other attack's; changing a shared optimiser changes the digests
of all that use it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

_OURS = ("robeval", "robeval_attacks", "robeval_defenses", "robeval_datasets")
_INSTALLED = tuple(
    {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# Faces and shells never change a figure.
_IGNORED = ("robeval.cli", "robeval.report")


def source_digest(cls: type) -> str:
    """A digest of the code behind a plugin class, over its whole import closure."""
    return module_digest(cls.__module__)


@lru_cache(maxsize=512)
def module_digest(name: str) -> str:
    """A digest of a module and of what it imports inside robeval and its own package."""
    roots = (*_OURS, name.split(".")[0])
    digest = hashlib.blake2b(digest_size=16)
    for module in sorted(_closure(name, roots)):
        path = _file(module)
        digest.update(module.encode() + b"\0" + (path.read_bytes() if path else b""))
    return digest.hexdigest()


def _closure(start: str, roots: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in found or module.startswith(_IGNORED):
            continue
        path = _file(module)
        if module.split(".")[0] not in roots and (path is None or _is_installed(path)):
            continue
        if path is None and module != start:
            continue
        found.add(module)
        if path is not None:
            waiting.extend(_imports(path, module))
    return found


def _is_installed(path: Path) -> bool:
    """Python's own or a package's file; a guest's helper beside its plugin file is neither."""
    in_packages = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(in_packages) or any(path.is_relative_to(folder) for folder in _INSTALLED)


@lru_cache(maxsize=2048)
def _imports(path: Path, module: str) -> tuple[str, ...]:
    names: list[str] = []
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base]).strip(".")
            # `from package import name` may name a module or something inside one.
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


@lru_cache(maxsize=4096)
def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, AttributeError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") and Path(origin).is_file() else None
