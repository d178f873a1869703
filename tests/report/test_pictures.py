"""Pictures: the right examples are drawn, into files that do not change."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from robeval.errors import UsageError
from robeval.report.pictures import chosen_examples, write_pictures
from robeval.report.summary import metrics_of, read_run


class _Domain:
    """Draws the example's name."""

    def picture(self, trial: str, title: str = "") -> Figure:
        figure = Figure(figsize=(1, 1))
        figure.suptitle(f"{title} {trial}", fontsize=4)
        return figure


class _Blind:
    """Draws nothing yet."""

    def picture(self, trial: str, title: str = "") -> Figure:
        raise NotImplementedError("domain 'blind' draws no pictures yet")


def _replayed_by(domain: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def trial(folder: Path, cell: str, examples: Sequence[str]) -> tuple[Any, str]:
        asked.append((cell, examples[0]))
        return domain, examples[0]

    # The real module imports torch and the engine; what a replay gives is tested there.
    monkeypatch.setitem(sys.modules, "robeval.engine.replay", SimpleNamespace(trial=trial))
    return asked


def test_worst_median_and_best_are_chosen_by_the_headline(finished_run: Path) -> None:
    """For a metric where lower is better, the worst example has the largest value; ranks are in order."""
    summary = read_run(finished_run)
    cell = summary.cells[0]
    table = pq.read_table(finished_run / "examples" / f"{cell.id}.parquet")
    values = dict(zip(table.column("example").to_pylist(), table.column("ade").to_pylist(), strict=True))
    found = {
        rank: (name, value)
        for rank, name, value in chosen_examples(finished_run, cell, metrics_of(summary)[0])
    }
    assert found["worst"][1] == max(values.values()) == values[found["worst"][0]]
    assert found["best"][1] == min(values.values())
    assert sum(value > found["median"][1] for value in values.values()) == 48


def test_invalid_examples_are_not_shown_as_successes(own_run: Path) -> None:
    """An example over budget is no worst case, however large its error."""
    summary = read_run(own_run)
    cell, metric = summary.cells[0], metrics_of(summary)[0]
    before = next(chosen_examples(own_run, cell, metric))[1]
    path = own_run / "examples" / f"{cell.id}.parquet"
    table = pq.read_table(path)
    status = ["invalid" if name == before else "ok" for name in table.column("example").to_pylist()]
    place = table.column_names.index("status")
    pq.write_table(table.set_column(place, "status", pa.array(status)), path)
    assert before not in {name for _, name, _ in chosen_examples(own_run, cell, metric)}


def test_every_finished_cell_gets_three_pictures(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed, impossible and certified cells have no adversarial example to draw."""
    for path in sorted((own_run / "cells").iterdir())[2:-2]:
        path.unlink()
    asked = _replayed_by(_Domain(), monkeypatch)
    written = write_pictures(own_run, tmp_path / "out")
    done = [cell for cell in read_run(own_run).cells if cell.status == "done" and not cell.certified]
    assert len(written) == len(asked) == 3 * len(done) > 0
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_svg_pictures_are_reproducible(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn twice, the files are the same byte for byte."""
    for path in sorted((own_run / "cells").iterdir())[1:]:
        path.unlink()
    _replayed_by(_Domain(), monkeypatch)
    first = write_pictures(own_run, tmp_path / "first", "svg")
    second = write_pictures(own_run, tmp_path / "second", "svg")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert b"<svg" in first[0].read_bytes()


def test_a_domain_without_pictures_is_a_usage_error(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which flag to leave out."""
    _replayed_by(_Blind(), monkeypatch)
    with pytest.raises(UsageError, match=r"draws no pictures yet\. Leave out --pictures"):
        write_pictures(own_run, tmp_path / "out")
