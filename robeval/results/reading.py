"""A run at a URL, brought here to be read."""

from __future__ import annotations

import os
from pathlib import Path

from robeval.errors import StoreError, UsageError
from robeval.results.lock import is_held
from robeval.results.places import local_folder, mirror_of

LEFT_OUT = ("chunks", "artifacts")
"""Half-done cells say nothing yet; adversarial tensors are fetched when a picture needs them."""


def brought(place: str | os.PathLike[str]) -> Path:
    """The folder of a run, at a URL or not, with its records as they are now. Raises UsageError."""
    folder = local_folder(place)
    mirror = mirror_of(folder)
    # While a run on this machine writes here, the mirror is ahead of the URL.
    if mirror is not None and not is_held(folder):
        try:
            mirror.update(
                lambda name: not any(part in LEFT_OUT for part in name.split("/")[:-1]), prune=False
            )
        except StoreError as error:
            raise UsageError(str(error)) from None
    return folder
