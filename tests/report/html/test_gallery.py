"""The right examples are drawn, as many as asked for, and what cannot be drawn is said."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from PIL import Image

from robeval.errors import StoreError
from robeval.report.html.gallery import Picture, chosen, encoded, gallery
from robeval.report.matrix import row_of
from robeval.report.summary import metrics_of, read_run
from tests.report.html.conftest import Artist


def test_examples_are_chosen_by_what_the_attack_changed(single_seed_run: Path) -> None:
    """The worst example is the one whose error rose most, not the one that was hard before."""
    summary = read_run(single_seed_run)
    metric = metrics_of(summary)[0]
    clean = next(c for c in summary.cells if c.attack == "none" and c.defense == "none")
    cell = next(c for c in summary.cells if c.attack.startswith("search-plus") and c.defense == "none")
    values = {
        one.id: np.array(pq.read_table(single_seed_run / f"examples/{one.id}.parquet")["ade"])
        for one in (clean, cell)
    }
    rise = values[cell.id] - values[clean.id]
    worst, median, best = chosen(single_seed_run, cell, clean, metric)
    assert worst.after - (worst.before or 0.0) == pytest.approx(rise.max())
    assert best.after - (best.before or 0.0) == pytest.approx(rise.min())
    assert (rise > median.after - (median.before or 0.0)).sum() == 48
    alone = next(chosen(single_seed_run, cell, None, metric))
    assert (alone.before, alone.after) == (None, pytest.approx(values[cell.id].max()))


def test_the_worst_of_every_place_comes_first(single_seed_run: Path, artist: Artist) -> None:
    """A limit leaves out the best examples before any place loses its worst; clean rows are not drawn."""
    summary = read_run(single_seed_run)
    places = [c for c in summary.cells if c.status == "done" and not c.certified and not row_of(c).is_clean]
    found = gallery(single_seed_run, summary, {}, len(places) + 1)
    assert found.possible == 3 * len(places)
    assert found.drawn == len(artist.asked) == len(places) + 1
    assert all(card.shots[0].rank == "worst" for card in found.cards)
    assert len(found.cards) == len(places)


class _Clumsy(Artist):
    """Fails at one picture."""

    def picture(self, trial: str, title: str = "") -> Figure:
        if len(self.asked) == 2:
            raise ZeroDivisionError("nothing to divide")
        return super().picture(trial, title)


class _Gone(Artist):
    """Nothing can be replayed any more."""

    def picture(self, trial: str, title: str = "") -> Figure:
        raise StoreError("made by other code")


def test_a_picture_that_fails_costs_itself_only(
    single_seed_run: Path, replayed: Callable[[Any], Any]
) -> None:
    """The others are drawn, and the failure is named with its cell."""
    replayed(_Clumsy())
    found = gallery(single_seed_run, read_run(single_seed_run), {}, 4)
    assert found.drawn == 3
    (problem,) = found.problems
    assert "ZeroDivisionError: nothing to divide" in problem
    assert " × " in problem


def test_equal_problems_are_said_once(single_seed_run: Path, replayed: Callable[[Any], Any]) -> None:
    """A run that cannot be replayed says so in one sentence."""
    replayed(_Gone())
    found = gallery(single_seed_run, read_run(single_seed_run), {}, 4)
    assert (found.drawn, found.problems) == (0, ("made by other code",))


def _image(picture: Picture) -> tuple[str, Image.Image]:
    kind, _, content = picture.source.partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(content)))


def test_drawings_become_small_sharp_pictures() -> None:
    """A line drawing is a PNG with a palette of its whole size."""
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    kind, image = _image(encoded(figure))
    assert (kind, image.mode, image.size) == ("data:image/png", "P", (240, 120))


def test_a_picture_knows_its_size() -> None:
    """So that the page does not jump while pictures arrive."""
    assert encoded(Figure(figsize=(2, 1)))[1:] == (240, 120)


def test_photographs_keep_their_colours() -> None:
    """Many colours do not fit a palette: WebP."""
    figure = Figure(figsize=(2, 2))
    figure.figimage(np.random.default_rng(0).random((240, 240, 3)))
    assert _image(encoded(figure))[0] == "data:image/webp"
