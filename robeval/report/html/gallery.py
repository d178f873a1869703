"""Examples to look at, clean beside adversarial: where the attack did the most, the median and the least."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robeval.errors import RobevalError
from robeval.report.matrix import Row, row_of
from robeval.report.numbers import number, unit_of
from robeval.report.summary import metrics_of
from robeval.report.tables import read_examples
from robeval.results.records import CellRecord, MetricRecord, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 45
RANKS = ("worst", "median", "best")
DPI = 120
FEW_COLOURS = 8192
"""Line drawings have fewer colours; a palette then keeps them sharp at a quarter of the size."""


class Picture(NamedTuple):
    """An encoded picture, and its size in pixels."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """One example with its figures in words."""

    rank: str
    example: str
    figure: str
    picture: Picture


@dataclass(frozen=True)
class Card:
    """The pictures of one place."""

    key: str
    attack: str
    defense: str
    scenario: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Gallery:
    """All cards; `possible` counts the pictures that there could be, `problems` says what could not be drawn."""

    cards: tuple[Card, ...]
    possible: int
    problems: tuple[str, ...]

    @property
    def drawn(self) -> int:
        """How many pictures it has."""
        return sum(len(card.shots) for card in self.cards)


class Choice(NamedTuple):
    """An example with its figures; `before` is that of the clean row, where there is one."""

    rank: str
    example: str
    before: float | None
    after: float


NOTHING = Gallery((), 0, ())


@dataclass(frozen=True)
class _Wish:
    cell: CellRecord
    key: str
    choice: Choice


def gallery(folder: Path, summary: Summary, names: Mapping[Row, str], limit: int = LIMIT) -> Gallery:
    """Up to `limit` pictures: first the worst of every place, then the medians, then the best.

    `names` says what to call the rows where their own name is too long.
    The victims come from the cache or are trained again. What cannot be drawn is said, not raised.
    """
    metric = next(iter(metrics_of(summary)), None)
    wishes = list(_wishes(folder, summary, metric)) if metric is not None else []
    wishes.sort(key=lambda wish: RANKS.index(wish.choice.rank))
    order = {key: place for place, key in enumerate(dict.fromkeys(wish.key for wish in wishes))}
    problems: dict[str, None] = {}
    shots: dict[str, list[Shot]] = {}
    for wish in sorted(
        wishes[:limit], key=lambda wish: order[wish.key]
    ):  # a place at a time: its victim is at hand
        try:
            picture = encoded(_drawn(folder, wish))
        except RobevalError as error:
            problems.setdefault(str(error))
        except NotImplementedError as error:
            problems.setdefault(f"{error}.")
        except Exception as error:  # the domain is anybody's code: its failure must not cost the report
            problems.setdefault(f"{row_of(wish.cell)} × {wish.cell.defense}: {type(error).__name__}: {error}")
        else:
            rank, example, *_ = wish.choice
            shots.setdefault(wish.key, []).append(Shot(rank, example, _said(wish.choice, metric), picture))
    cells = {wish.key: wish.cell for wish in wishes}
    cards = tuple(_card(cell, key, shots[key], names) for key, cell in cells.items() if key in shots)
    return Gallery(cards, len(wishes), tuple(problems))


def _said(choice: Choice, metric: MetricRecord | None) -> str:
    assert metric is not None  # without a metric there are no wishes
    values = [value for value in (choice.before, choice.after) if value is not None]
    return f"{metric.name} {' → '.join(number(v, metric) for v in values)} {unit_of(metric)}".rstrip()


def _wishes(folder: Path, summary: Summary, metric: MetricRecord) -> Iterator[_Wish]:
    places: dict[tuple[str, str, Row, str], list[CellRecord]] = {}
    for cell in summary.cells:
        place = (cell.dataset, cell.victim, row_of(cell), cell.defense)
        places.setdefault(place, []).append(cell)
    done = [cell for cell in summary.cells if cell.status == "done" and metric.name in cell.metrics]
    clean = {_stage(cell): cell for cell in done if row_of(cell).is_clean}
    for (*_, row, _defense), cells in places.items():
        seed = next((cell for cell in cells if cell in done), None)
        if seed is not None and not row.is_clean and not row.certified:
            for choice in chosen(folder, seed, clean.get(_stage(seed)), metric):
                yield _Wish(seed, cells[0].id, choice)


def _stage(cell: CellRecord) -> tuple[str, str, str, int]:
    return cell.dataset, cell.victim, cell.defense, cell.seed


def chosen(
    folder: Path, cell: CellRecord, clean: CellRecord | None, metric: MetricRecord
) -> Iterator[Choice]:
    """The examples that the attack harmed the most, the median and the least, each once.

    Harm is the change from the clean row; without one, the figure itself. Invalid examples are left out.
    Raises StoreError when a per-example table cannot be read.
    """
    table = read_examples(folder, cell.id, (metric.column,), texts=("example", "status"))
    after = table[metric.column]
    before = _before(folder, clean, table["example"], metric)
    harm = after - before if before is not None else after
    known = np.flatnonzero(~np.isnan(harm) & (table["status"] == "ok"))
    if not len(known):
        return
    # Ties are settled by name, so that the same run always shows the same examples.
    order = known[np.lexsort((table["example"][known], harm[known]))]
    if metric.direction == "lower":
        order = order[::-1]
    for rank, place in zip(RANKS, dict.fromkeys((0, len(order) // 2, len(order) - 1)), strict=False):
        at = order[place]
        value = None if before is None else float(before[at])
        yield Choice(rank, str(table["example"][at]), value, float(after[at]))


def _before(
    folder: Path, clean: CellRecord | None, examples: np.ndarray, metric: MetricRecord
) -> np.ndarray | None:
    """The clean row's values of these examples."""
    if clean is None:
        return None
    table = read_examples(folder, clean.id, (metric.column,), texts=("example",))
    values = dict(zip(table["example"].tolist(), table[metric.column].tolist(), strict=True))
    return np.array([values.get(name, np.nan) for name in examples.tolist()])


def _card(cell: CellRecord, key: str, shots: Sequence[Shot], names: Mapping[Row, str]) -> Card:
    ordered = sorted(shots, key=lambda shot: RANKS.index(shot.rank))
    row = row_of(cell)
    attack = f"{names.get(row, row.name)} {row.grant}".strip()
    return Card(key, attack, cell.defense, f"{cell.dataset} · {cell.victim}", tuple(ordered))


def _drawn(folder: Path, wish: _Wish) -> Figure:
    from robeval.engine.replay import trial

    domain, judged = trial(folder, wish.cell.id, [wish.choice.example])
    return domain.picture(judged)


def encoded(figure: Figure) -> Picture:
    """The picture as part of the page: a small PNG for drawings, WebP for photographs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    # Straight from the canvas: `savefig` would lay everything out and draw it twice.
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    figure.clear()
    small = io.BytesIO()
    kind = "webp" if image.getcolors(FEW_COLOURS) is None else "png"
    if kind == "png":
        few = image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True)
    else:
        image.save(small, "WEBP", quality=82)
    return Picture(
        f"data:image/{kind};base64,{base64.b64encode(small.getvalue()).decode()}", image.width, image.height
    )
