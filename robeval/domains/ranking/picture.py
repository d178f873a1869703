"""The passage with its inserted words marked, before and after rank beside it."""

from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker

from robeval.domains.ranking.batch import RankingBatch, ranks
from robeval.domains.ranking.naturalness import change
from robeval.plugins.contracts import Trial

ADDED, REMOVED, PLAIN, QUIET = "#b3261e", "#8a8a8a", "#202020", "#5f5f5f"
_LINE, _LINES = 118, 12
_WIDTH, _PER_LINE, _FRAME = 9.0, 0.22, 0.55


@dataclass(frozen=True)
class _Word:
    text: str
    color: str


def draw(trial: Trial[RankingBatch], title: str = "") -> Figure:
    """One panel per example: query, ranks, and the passage; added words red and bold, removed ones grey in brackets."""
    before, after = ranks(trial.clean_output).tolist(), ranks(trial.output).tolist()
    texts = zip(trial.clean.texts(), trial.adversarial.texts(), strict=True)
    panels = [_lines(_words(old, new)) for old, new in texts]
    heights = [_FRAME + _PER_LINE * len(lines) for lines in panels]
    figure = Figure(figsize=(_WIDTH, sum(heights) + (0.3 if title else 0.0)), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, lines, query, old, new in zip(
        grid, panels, trial.clean.query_texts(), before, after, strict=True
    ):
        _panel(axes, lines, query, old, new)
    return figure


def _panel(axes: Axes, lines: list[list[_Word]], query: str, old: float, new: float) -> None:
    axes.set_axis_off()
    axes.set_title(f"query: {_plain(query)}", loc="left", fontsize=10, color=PLAIN)
    color = ADDED if new < old else QUIET
    axes.set_title(f"rank {old:.0f} → {new:.0f}", loc="right", fontsize=11, fontweight="bold", color=color)
    rows: list[Artist] = [
        HPacker(
            children=[_area(word) for word in line] or [_area(_Word("(empty passage)", QUIET))], pad=0, sep=4
        )
        for line in lines
    ]
    packed = VPacker(children=rows, pad=0, sep=5)
    axes.add_artist(AnchoredOffsetbox("upper left", child=packed, frameon=False, pad=0.2, borderpad=0.2))


def _area(word: _Word) -> TextArea:
    bold = "bold" if word.color == ADDED else "normal"
    return TextArea(_plain(word.text), textprops={"color": word.color, "fontsize": 9, "fontweight": bold})


def _plain(text: str) -> str:
    """Dollars would begin a formula."""
    return text.replace("$", r"\$")


def _words(old: str, new: str) -> list[_Word]:
    found = change(old, new)
    return [
        *(_Word(word, PLAIN) for word in found.before),
        *(_Word(f"[{word}]", REMOVED) for word in found.removed),
        *(_Word(word, ADDED) for word in found.added),
        *(_Word(word, PLAIN) for word in found.after),
    ]


def _lines(words: list[_Word]) -> list[list[_Word]]:
    """Words in lines of a fixed length; a long passage is cut around its first changed word."""
    lines: list[list[_Word]] = [[]]
    used = 0
    for word in words:
        if used + len(word.text) > _LINE and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(word)
        used += len(word.text) + 1
    marked = next((i for i, line in enumerate(lines) if any(word.color != PLAIN for word in line)), 0)
    first = max(0, min(marked - 2, len(lines) - _LINES))
    shown = lines[first : first + _LINES]
    if first:
        shown = [[_Word("…", QUIET)], *shown[1:]]
    return [*shown[:-1], [*shown[-1], _Word("…", QUIET)]] if first + _LINES < len(lines) else shown
