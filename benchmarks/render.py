"""RESULTS.md from what is kept: records only, so it can be written again without measuring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.catalog import Benchmark
from benchmarks.frame import Claim, Figure, Kept, Machine
from benchmarks.store import kept

TEMPLATE = "RESULTS.md.j2"


class Section(NamedTuple):
    """One benchmark as the page shows it."""

    benchmark: Benchmark
    record: Kept
    elsewhere: bool
    """Measured on another machine, or with other versions, than the head of the page says."""


def render(benchmarks: Sequence[Benchmark], folder: Path) -> str:
    """The page: machine, claims at a glance, a section each."""
    records = [kept(folder, benchmark.name) for benchmark in benchmarks]
    newest = max((r for r in records if r.machine), key=lambda record: record.date, default=None)
    sections = [
        Section(benchmark, record, newest is not None and not _same(record.machine, newest.machine))
        for benchmark, record in zip(benchmarks, records, strict=True)
    ]
    claims = [
        (claim, section)
        for section in sections
        if section.record.measured
        for claim in section.record.measured.claims
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "held": held, "anchor": anchor}
    text: str = environment.get_template(TEMPLATE).render(sections=sections, claims=claims, newest=newest)
    return text


def cell(value: Figure | str) -> str:
    """A table cell; a bar in it would start another cell."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def held(claim: Claim, quick: bool = False) -> str:
    """Whether the aim is met, in a word; a quick figure decides nothing."""
    if quick:
        return "(quick)"
    return {None: "", True: "yes", False: "**no**"}[claim.held]


def anchor(title: str) -> str:
    """The fragment that Markdown viewers give a heading."""
    kept_ = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept_.replace(" ", "-")


def _same(mine: Machine | None, other: Machine | None) -> bool:
    return mine is None or (other is not None and str(mine) == str(other))
