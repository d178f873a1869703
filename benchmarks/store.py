"""One JSON file per benchmark: a failure loses neither the others nor the figures that were there before."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from benchmarks.frame import Kept


def kept(folder: Path, name: str) -> Kept:
    """What is there; an empty record where nothing is, or nothing readable."""
    try:
        return Kept.model_validate_json((folder / f"{name}.json").read_bytes())
    except FileNotFoundError:
        return Kept(name=name)
    except (OSError, ValidationError) as error:
        return Kept(name=name, failed=f"{name}.json cannot be read: {str(error).splitlines()[0]}")


def keep(folder: Path, record: Kept) -> None:
    """Replace the benchmark's file as a whole."""
    write(folder / f"{record.name}.json", record.model_dump_json(indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """The whole text or none of it, also when interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def keep_trouble(folder: Path, name: str, *, absent: str = "", failed: str = "") -> None:
    """Say why there are no new figures; the old ones stay."""
    keep(folder, kept(folder, name).model_copy(update={"absent": absent, "failed": failed}))
