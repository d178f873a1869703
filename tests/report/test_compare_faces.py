"""The comparison's faces say the same, fit where they are shown, and never celebrate a doubtful figure."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from robeval.report.compare import compare_runs
from robeval.report.compare_json import json_comparison
from robeval.report.compare_markdown import markdown_comparison
from robeval.report.compare_model import RunComparison
from robeval.report.compare_terminal import lines, print_comparison
from tests.report.test_compare import Rewritten, _raised

SEARCH = "search:restarts=4,iterations=50"


@pytest.fixture(scope="module")
def found(single_seed_run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunComparison:
    """A worse, a better, a doubtful, a lost and a renamed cell, on two metrics."""
    copy = Rewritten(single_seed_run, tmp_path_factory.mktemp("runs") / "new_run")
    copy.edit(_raised(+0.9), attack="noise", defense="augmentation")
    copy.edit(_raised(-0.5), attack="none", defense="none")
    copy.edit(_raised(-1.0), attack=SEARCH, defense="smoothing", knowledge="adaptive")
    copy.edit(_raised(0.0, noise=1.0), attack="noise", defense="smoothing")
    (lost,) = copy.cells(attack="noise", defense="none")
    copy.record(lost, verdict="invalid")
    (renamed,) = copy.cells(attack="pso", defense="none")
    copy.record(renamed, attack="pso|plus")
    return compare_runs(single_seed_run, copy.folder, ["ade", "success"])


def _text(found: RunComparison, width: int) -> str:
    return "\n".join(line.plain for line in lines(found, width))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_terminal_fits(found: RunComparison, width: int) -> None:
    """No line is wider than asked, and no figure is lost in a narrow window."""
    text = _text(found, width)
    assert max(map(len, text.splitlines())) <= width
    change = found.changes[0]
    assert change.comparison is not None
    assert f"{change.comparison.second:.2f}" in text


def test_the_terminal_is_sorted_by_what_matters(found: RunComparison) -> None:
    """Worse, lost, doubtful, better, the rest."""
    text = _text(found, 160)
    titles = [
        "significantly worse",
        "had a figure",
        "do not celebrate",
        "significantly better",
        "no difference",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)


def test_a_row_says_everything_that_is_known(found: RunComparison) -> None:
    """Metric, cell, both figures, difference with interval, p-value, effect and n on one line."""
    (line,) = [row for row in _text(found, 160).splitlines() if "ade · noise ≤ 1 m × augmentation" in row]
    change = found.changes[0]
    assert change.comparison is not None
    first, second, difference, effect, *_ = change.comparison
    assert (
        f"{first:.2f} → {second:.2f}  +{difference.value:.2f} [+{difference.low:.2f}, +{difference.high:.2f}]"
        in line
    )
    assert f"d +{effect.value:.2f}, n 96" in line
    assert "p 0.0" in line


def test_marks_stay_beside_their_figures(found: RunComparison) -> None:
    """The suspicious cell keeps its question mark, the invalid one shows no figure at all."""
    text = _text(found, 160)
    doubtful = text.index("do not celebrate")
    assert "?" in text[doubtful : text.index("significantly better")]
    assert "– → –!" in text


def test_what_is_only_in_one_run_is_grouped(found: RunComparison) -> None:
    """The renamed attack stands in each run's list."""
    text = _text(found, 160)
    assert "only in single (1)\n  pso ≤ 1 m × none" in text
    assert "only in new_run (1)\n  pso|plus ≤ 1 m × none" in text


def test_no_face_prints_a_p_value_of_zero(found: RunComparison) -> None:
    """Small p-values are bounds or positive numbers."""
    assert "p 0.000" not in _text(found, 160)
    assert "| 0.000 |" not in markdown_comparison(found)
    changes = json.loads(json_comparison(found))["changes"]
    assert min(change["p"] for change in changes if change["p"] is not None) > 0


def test_an_ascii_terminal_gets_words(found: RunComparison) -> None:
    """Signs that it cannot show are spelled."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_comparison(found, Console(file=stream, width=120))
    stream.seek(0)
    text = stream.read()
    assert "noise <= 1 m x augmentation" in text
    assert "->" in text
    assert "alpha = 0.05" in text


def test_markdown_tables_cannot_be_broken(found: RunComparison) -> None:
    """A bar in a name is escaped, and every table row has the columns of its head."""
    text = markdown_comparison(found)
    assert "pso\\|plus" in text
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8}


def test_json_holds_every_change(found: RunComparison) -> None:
    """Strict JSON with the figures of the model, in its order."""
    content = json.loads(json_comparison(found), parse_constant=pytest.fail)
    assert content["schema"] == 1
    assert len(content["changes"]) == len(found.changes)
    first, change = content["changes"][0], found.changes[0]
    assert change.comparison is not None
    assert (first["attack"], first["defense"], first["outcome"]) == ("noise", "augmentation", "worse")
    assert first["difference"]["value"] == change.comparison.difference.value
    assert first["p_holm"] == change.p
    assert first["after"]["verdict"] == "ok"
    assert content["only_after"][0]["attack"] == "pso|plus"
    assert sum(content["counts"].values()) == len(found.changes)


def test_infinite_figures_do_not_break_json(single_seed_run: Path, tmp_path: Path) -> None:
    """An infinite error is null in JSON and ∞ in the terminal, and is not tested."""
    copy = Rewritten(single_seed_run, tmp_path / "copy")
    (record,) = copy.cells(attack="noise", defense="none")

    def explode(table: dict[str, list[float]]) -> None:
        table["ade"][3] = float("inf")

    figures = record["metrics"]
    copy.edit(explode, id=record["id"])
    copy.record(record, metrics=figures)
    found = compare_runs(single_seed_run, copy.folder)
    content = json.loads(json_comparison(found), parse_constant=pytest.fail)
    (change,) = [c for c in content["changes"] if (c["attack"], c["defense"]) == ("noise", "none")]
    assert change["after"]["value"] is None
    assert change["p"] is None
    assert "∞" in _text(found, 120)
