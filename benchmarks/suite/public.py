"""Public data that lies beside the checkout, or where `ROBEVAL_SHARED` says."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.frame import NotHere

CHECKOUT = Path(__file__).resolve().parents[2]


def folder(name: str, *files: str) -> Path:
    """`data/<name>` with these files. Raises NotHere."""
    shared = Path(os.environ.get("ROBEVAL_SHARED") or CHECKOUT.parent / "shared")
    found = shared / "data" / name
    if not all((found / file).is_file() for file in files):
        raise NotHere(
            f"needs {', '.join(files)} in data/{name} of a folder that ROBEVAL_SHARED names (or of `shared` beside "
            "the checkout)"
        )
    return found
