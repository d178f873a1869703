"""The comparison of two runs as Markdown, for job summaries and pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robeval.report.compare_model import OUTCOMES, Change, RunComparison
from robeval.report.compare_words import (
    called,
    chance,
    difference,
    effect,
    head,
    listed,
    notes,
    setting,
    values,
)


def markdown_comparison(found: RunComparison) -> str:
    """The whole comparison."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: RunComparison) -> Iterator[str]:
    yield f"# robeval compare · {_safe(found.names[0])} → {_safe(found.names[1])}"
    for sentence in head(found):
        yield from ["", _safe(sentence)]
    for outcome, title in OUTCOMES.items():
        here = [change for change in found.changes if change.outcome == outcome]
        if here:
            yield from ["", f"## {title.capitalize()} ({len(here)})", ""]
            if outcome == "identical":
                yield from (f"- {_safe(line)}" for line in listed([change.place for change in here], found))
            else:
                yield from _table(here, found)
    for name, places in zip(found.names, (found.only_before, found.only_after), strict=True):
        if places:
            yield from ["", f"## Only in {_safe(name)} ({len(places)})", ""]
            yield from (f"- {_safe(line)}" for line in listed(places, found))
    yield from ["", "## What else changed", ""]
    yield from (f"- {_safe(sentence)}" for sentence in setting(found))
    for caveat in found.caveats:
        yield from ["", f"Note: {_safe(caveat)}."]


def _table(changes: Sequence[Change], found: RunComparison) -> Iterator[str]:
    yield "| cell | metric | before → after | difference | p (Holm) | effect, n | notes |"
    yield "| --- | --- | ---: | ---: | ---: | --- | --- |"
    for change in changes:
        parts = [
            _safe(called(change.place, found)),
            change.metric.name,
            values(change),
            difference(change),
            chance(change).removeprefix("p ").replace("<", "&lt;"),
            effect(change),
            _safe("; ".join(notes(change, found))),
        ]
        yield f"| {' | '.join(parts)} |"


def _safe(text: str) -> str:
    """Text that cannot break a table or become markup."""
    for sign in "\\|*_`[":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.replace("<", "&lt;").split())
