"""What changed around the figures of two runs: versions, hardware, code, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from robeval.results.journal import Journal
from robeval.results.records import RunRecord

_SHAPE = ("domain", "datasets", "victims", "attacks", "defenses", "budgets", "knowledge")
"""Settings that decide which cells there are; the cells of one run alone tell about them."""


class Difference(NamedTuple):
    """A setting that is not the same in both runs; None where a run has no such setting."""

    name: str
    before: str | None
    after: str | None


def differences(before: RunRecord, after: RunRecord) -> list[Difference]:
    """Code and versions first, then the settings of the experiments."""
    first, second = dict(_settings(before)), dict(_settings(after))
    return [
        Difference(name, first.get(name), second.get(name))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _settings(run: RunRecord) -> Iterator[tuple[str, str]]:
    made = run.environment.model_dump()
    packages = made.pop("packages")
    git = made.pop("git")
    yield from _flat({"git": git or "not a repository", **made, **dict(sorted(packages.items()))}, "")
    chosen = {name: value for name, value in run.experiment.items() if name not in _SHAPE}
    yield from _flat(chosen, "experiment ")


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def content_keys(folder: Path) -> dict[str, str]:
    """The content addresses of a run's finished cells, by cell: of all that could change their figures."""
    events = Journal(folder / "journal.jsonl").events()
    return {event["cell"]: event["key"] for event in events if event.get("kind") == "cell"}
