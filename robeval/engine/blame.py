"""Whose line it was, and what to say of it in one line."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from robeval.errors import PluginError, RobevalError

T = TypeVar("T")

LONGEST = 300
_OTHERS = ("/torch/", "/pytorch_lightning/", "/lightning_fabric/", "/jaxtyping/", "/beartype/")
_STDLIB = sysconfig.get_path("stdlib") + "/"


def reason(error: BaseException) -> str:
    """Why a cell failed: our own messages as they are, anything else in one line with its place."""
    if isinstance(error, RobevalError):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    place = own_place(traceback.extract_tb(error.__traceback__))
    return f"{text} (at {place})" if place else text


def place_of(frame: FrameType | None) -> str:
    """Where the process stands: the innermost line that an author can change."""
    return own_place(traceback.extract_stack(frame))


def own_place(steps: Iterable[traceback.FrameSummary]) -> str:
    """``file:line`` of the innermost step that belongs neither to Python, nor to torch or Lightning."""
    own = [step for step in steps if not _is_library(step.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


def _is_library(filename: str) -> bool:
    # Installed guests live below the standard library's folder.
    is_python = filename.startswith(_STDLIB) and "-packages/" not in filename
    return is_python or filename.startswith("<") or any(part in filename for part in _OTHERS)


def returned(value: Any, expected: type[T], plugin: object, hook: str) -> T:
    """What a plugin's hook gave back. Raises PluginError when it is something else than expected."""
    if isinstance(value, expected):
        return value
    raise PluginError(
        f"{type(plugin).__name__}.{hook} returned {'nothing' if value is None else type(value).__name__}, "
        f"expected a {expected.__name__}"
    )
