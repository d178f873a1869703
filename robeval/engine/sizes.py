"""Sizes of memory as people write them."""

from __future__ import annotations

import re

UNITS = {"": 1, "B": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for ending, base in (("", 1024), ("B", 1000), ("IB", 1024))
}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def in_bytes(size: str | int) -> int:
    """`2GiB`, `500MB`, `1.5g` or a plain number of bytes. Raises ValueError naming what is expected."""
    found = _FORM.fullmatch(str(size))
    if found is None or found[2].upper() not in UNITS:
        raise ValueError(
            f"'{size}' is no size of memory; write a number with a unit, for example 2GiB or 500MB"
        )
    number = int(float(found[1]) * UNITS[found[2].upper()])
    if number < 1:
        raise ValueError(f"'{size}' is no memory at all; write more than zero, for example 2GiB")
    return number


def in_words(size: int) -> str:
    """A size for people: `1.5 GiB`."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
