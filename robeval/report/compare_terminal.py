"""The comparison of two runs in a terminal: what got worse first, what only seems so marked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from robeval.report.compare_model import OUTCOMES, Change, Outcome, Place, RunComparison
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

_NARROWEST, _WIDEST = 40, 160
_STYLES: dict[Outcome, str] = {
    "worse": "bold red",
    "lost": "bold red",
    "doubtful": "bold yellow",
    "better": "bold green",
    "found": "bold",
    "same": "dim",
    "identical": "dim",
    "untested": "bold yellow",
}


def print_comparison(found: RunComparison, console: Console) -> None:
    """Print a comparison, coloured as far as `console` allows."""
    width = max(_NARROWEST, min(console.width, _WIDEST))
    for line in lines(found, width, ascii_only=console.options.ascii_only):
        if console.no_color or console.color_system is None:
            line.rstrip()
        # The text is laid out already: rich must neither wrap, nor highlight, nor read it as markup.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def lines(found: RunComparison, width: int, *, ascii_only: bool = False) -> Iterator[Text]:
    """The comparison line by line, laid out for `width` columns."""
    for line in _lines(found, width):
        yield _in_ascii(line) if ascii_only else line


def _lines(found: RunComparison, width: int) -> Iterator[Text]:
    yield from _paragraph(f"robeval compare · {found.names[0]} → {found.names[1]}", width, style="bold")
    for sentence in head(found):
        yield from _paragraph(sentence, width, style="dim")
    for outcome, title in OUTCOMES.items():
        here = [change for change in found.changes if change.outcome == outcome]
        if here:
            yield Text()
            yield from _paragraph(f"{title} ({len(here)})", width, style=_STYLES[outcome])
            if outcome == "identical":
                yield from _places([change.place for change in here], found, width)
            else:
                yield from _table(here, found, width)
    for name, places in zip(found.names, (found.only_before, found.only_after), strict=True):
        yield from _only(name, places, found, width)
    yield from _setting(found, width)
    for caveat in found.caveats:
        yield Text()
        yield from _paragraph(f"Note: {caveat}.", width)


def _table(changes: Sequence[Change], found: RunComparison, width: int) -> Iterator[Text]:
    """A line for each change where its parts fit side by side, else its figures below its name."""
    rows = [_parts(change) for change in changes]
    labels = [_label(change, found) for change in changes]
    sizes = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    longest, figures = max(map(len, labels)), sum(sizes) + 2 * (len(sizes) - 1)
    side_by_side = 2 + longest + 2 + figures <= width
    for change, label, row in zip(changes, labels, rows, strict=True):
        text = "  ".join(part.ljust(size) for part, size in zip(row, sizes, strict=True)).rstrip()
        name = Text("  ").append(label, style="bold")
        if side_by_side:
            yield name.append(" " * (longest - len(label) + 2) + text, style="not bold")
        else:
            yield from _wrapped_label(label, width)
            yield from _paragraph(text, width, indent=4)
        for note in notes(change, found):
            yield from _paragraph(note, width, indent=4, style="dim")


def _label(change: Change, found: RunComparison) -> str:
    metric = f"{change.metric.name} · " if len(found.metrics) > 1 else ""
    return metric + called(change.place, found)


def _wrapped_label(label: str, width: int) -> Iterator[Text]:
    for line in textwrap.wrap(label, width - 2, break_on_hyphens=False):
        yield Text("  ").append(line, style="bold")


def _parts(change: Change) -> list[str]:
    return [values(change), difference(change), chance(change), effect(change)]


def _only(name: str, places: Sequence[Place], found: RunComparison, width: int) -> Iterator[Text]:
    if places:
        yield Text()
        yield from _paragraph(f"only in {name} ({len(places)})", width, style="bold")
        yield from _places(places, found, width)


def _places(places: Sequence[Place], found: RunComparison, width: int) -> Iterator[Text]:
    for line in listed(places, found):
        yield from _paragraph(line, width, indent=2)


def _setting(found: RunComparison, width: int) -> Iterator[Text]:
    yield Text()
    yield Text("What else changed", style="bold")
    for sentence in setting(found):
        yield from _paragraph(sentence, width, indent=2)


def _paragraph(text: str, width: int, *, indent: int = 0, style: str = "") -> Iterator[Text]:
    for line in textwrap.wrap(text, width - indent, break_on_hyphens=False):
        yield Text(" " * indent + line, style=style)


_WORDS = {"→": "->", "≤": "<=", "≥": ">=", "α": "alpha", "×": "x", "·": "|", "±": "+-", "∞": "inf", "–": "-"}


def _in_ascii(line: Text) -> Text:
    """The same line for terminals that know ASCII only; what has no likeness becomes a question mark."""
    found = Text(style=line.style)
    for k, sign in enumerate(line.plain):
        spans = line[k].spans
        word = _WORDS.get(sign, sign.encode("ascii", "replace").decode())
        found.append(word, style=spans[-1].style if spans else "")
    return found
