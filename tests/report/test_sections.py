"""Curves, gaps and costs as the terminal, Markdown and CSV show them."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from robeval.errors import UsageError
from robeval.report.curves import curves, given_thresholds
from robeval.report.curves_terminal import curve_lines
from robeval.report.findings import spent
from robeval.report.heat import STYLES, Heat
from robeval.report.matrix import at_largest_budgets, matrices
from robeval.report.render import print_report, render
from robeval.report.schema import summary_schema
from robeval.report.summary import chosen_metrics, metrics_of, read_run
from tests.report.swept_run import DEFENSES, WORST


@pytest.fixture(scope="module")
def terminal(swept_run: Path) -> str:
    """The terminal report of the swept run, 120 columns wide."""
    return render(swept_run, "terminal", None, 120)


@pytest.fixture(scope="module")
def document(swept_run: Path) -> str:
    """Its Markdown report."""
    return render(swept_run, "markdown")


def test_many_budgets_leave_the_matrix_readable(swept_run: Path, terminal: str) -> None:
    """Of three budgets the matrix shows the largest and says so; `by_budget` shows all."""
    matrix = terminal[: terminal.index("Security curves")]
    assert "pso ≤ 1 m" in matrix
    assert "≤ 0.25 m" not in matrix
    assert "the largest is shown" in matrix
    everything = render(swept_run, "terminal", None, 120, by_budget=True)
    matrix = everything[: everything.index("Security curves")]
    assert all(f"pso ≤ {budget} m" in matrix for budget in ("0.25", "0.5", "1"))
    assert "the largest is shown" not in matrix


def test_two_budgets_are_both_shown(swept_run: Path) -> None:
    """Only more than two are thinned."""
    summary = read_run(swept_run)
    cells = [cell for cell in summary.cells if cell.budget.value != 0.25]
    few = summary.model_copy(update={"cells": cells})
    (matrix,) = matrices(few, swept_run, chosen_metrics(few, None))
    assert at_largest_budgets(matrix) is matrix


def test_a_curve_is_one_line(terminal: str) -> None:
    """Bars, first and last value, area with interval, and the crossing with its band."""
    section = terminal[terminal.index("Security curves") : terminal.index("Knowledge gap")]
    assert "pso · deviation 0, 0.25, 0.5, 1 m" in section
    line = re.compile(
        r"^  none +[▁▂▃▄▅▆▇█]{8} +\d\.\d\d → \d\.\d\d +\d\.\d\d \[\d\.\d\d, \d\.\d\d\] +0\.\d+ m \[0\.\d+, 0\.\d+\]$",
        re.MULTILINE,
    )
    assert line.search(section)
    assert re.search(r"reaches 1\.\d\d m at", section)
    assert "is twice the undefended clean value; --threshold sets another" in " ".join(section.split())


def test_a_threshold_out_of_reach_is_said(swept_run: Path) -> None:
    """The crossing is then beyond the largest budget."""
    text = render(swept_run, "terminal", None, 120, thresholds={"ade": 99.0})
    assert re.search(r"\] +> 1 m$", text, re.MULTILINE)
    assert "99.00 m is the given threshold; linear" in " ".join(text.split())


def test_a_marked_point_has_its_mark_instead_of_a_bar(terminal: str) -> None:
    """The suspicious figure at the largest budget stands outside the scale, and its area is marked."""
    section = terminal[terminal.index("Security curves") : terminal.index("Knowledge gap")]
    assert re.search(r"smoothing +[▁▂▃▄▅▆▇█]{6}\?\? .*\] \? ", section)


def test_no_defense_cannot_be_unknown(terminal: str) -> None:
    """The oblivious curve of the undefended victim is the adaptive one, and left out."""
    section = terminal[terminal.index("search, oblivious ·") : terminal.index("search, straight-through ·")]
    assert "smoothing" in section
    assert "none" not in section


def test_bars_are_coloured_as_the_matrix_is(swept_run: Path) -> None:
    """The highest figure has the worst colour as well as the highest bar, the clean one the best."""
    summary = read_run(swept_run)
    (matrix,) = matrices(summary, swept_run, chosen_metrics(summary, None))
    lines = list(curve_lines(curves(summary, swept_run), Heat.of(matrix), 120))
    bars = [
        (line.plain[span.start], span.style)
        for line in lines
        for span in line.spans
        if line.plain[span.start] in "▁█"
    ]
    assert ("█", STYLES[4]) in bars
    assert {style for bar, style in bars if bar == "▁"} == {STYLES[0]}


@pytest.mark.parametrize("width", [44, 60, 80, 160])
def test_the_sections_fit_the_terminal(swept_run: Path, width: int) -> None:
    """No line is wider, and every defense and area is there in full."""
    text = render(swept_run, "terminal", None, width)
    assert max(map(len, text.splitlines())) <= width
    section = text[text.index("Security curves") : text.index("Knowledge gap")]
    for curve in curves(read_run(swept_run), swept_run):
        assert curve.area is not None
        assert f"{curve.area.value:.2f} [" in section
    assert all(defense in section for defense in DEFENSES)


def test_ascii_terminals_get_bars_too(swept_run: Path) -> None:
    """Eight heights have eight ASCII signs."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_report(swept_run, Console(file=stream, width=100, _environ={}, legacy_windows=False))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert re.search(r"none +__[-_.=+*%#]{6} +0\.\d\d -> \d\.\d\d", text)


def test_the_gap_is_told_line_by_line(terminal: str) -> None:
    """Both figures, the difference with interval, p, and what it means."""
    section = terminal[terminal.index("Knowledge gap") : terminal.index("Threat models")]
    assert re.search(
        r"pso ≤ 1 m × smoothing +\d\.\d\d +\d\.\d\d +\+\d\.\d\d \[\d\.\d\d, \d\.\d\d\] +0\.00\d", section
    )
    assert "the defense relies on not being known: it takes back" in section


def test_a_plain_run_has_no_such_sections(finished_run: Path) -> None:
    """One budget and one knowledge: neither curves nor, without a pair of finished rows, gaps."""
    text = render(finished_run, "terminal", ["success"], 100)
    assert "Security curves" not in text
    assert "the largest is shown" not in text


def test_costs_of_all_budgets_are_told_together(terminal: str) -> None:
    """One entry per attack, with overhead and preparation; the worst-of row says who won."""
    section = " ".join(terminal[terminal.index("Threat models") :].split())
    assert "pso ≤ 0.25, 0.5, 1 m 1,010 0 1,010" in section
    assert "1.2" in section
    assert "prepared with 75,000 queries in 37.5 s, in all" in section
    assert f"{WORST} ≤ 0.25, 0.5, 1 m" in section
    assert "worst: pso on 1140, search on 300 of 1440 examples" in section


def test_many_budgets_are_told_by_their_ends(swept_run: Path) -> None:
    """More than four are not listed."""
    summary = read_run(swept_run)
    (cell,) = (
        c
        for c in summary.cells
        if (c.attack, c.defense, c.knowledge, c.budget.value) == ("pso", "none", "adaptive", 1.0)
    )
    cells = [
        cell.model_copy(update={"budget": cell.budget.model_copy(update={"value": 2.0**k})}) for k in range(6)
    ]
    (entry,) = spent(cells, merged=True)
    assert entry.grant == "≤ 1 … 32 m"
    assert len(spent(cells)) == 6


def test_counter_measures_have_rows_of_their_own(terminal: str) -> None:
    """The label says which."""
    assert "search ≤ 1 m, straight-through" in terminal


def test_rescored_rows_are_called_by_their_attack(swept_run: Path, tmp_path: Path) -> None:
    """The worst of an attack and its counter-measures is named after it; places nobody asked for stay empty."""
    folder = tmp_path / "run"
    shutil.copytree(swept_run, folder)
    summary = read_run(folder)
    cell = next(c for c in summary.cells if (c.attack, c.defense, c.budget.value) == (WORST, "squeeze", 1.0))
    again = 'worst-of:access=white-box,of="search:restarts=4,iterations=50"'
    renamed = cell.model_copy(update={"attack": again})
    (folder / "cells" / f"{cell.id}.json").write_text(renamed.model_dump_json())
    text = render(folder, "terminal", None, 220)
    row = next(line for line in text.splitlines() if line.startswith("search ≤ 1 m, with counter-measures"))
    assert row.count("·") == 4
    assert "· not asked for" in text
    assert "| **search:restarts=4,iterations=50** ≤ 1 m, with counter-measures | · |" in render(
        folder, "markdown"
    )


def test_an_unfinished_run_has_missing_cells(swept_run: Path, tmp_path: Path) -> None:
    """As long as records are awaited, an empty place may be one of them."""
    folder = tmp_path / "run"
    shutil.copytree(swept_run, folder)
    cell = next(
        c for c in read_run(folder).cells if (c.attack, c.defense, c.budget.value) == ("pso", "median", 1.0)
    )
    (folder / "cells" / f"{cell.id}.json").unlink()
    text = render(folder, "terminal", None, 150)
    assert re.search(r"^pso ≤ 1 m .*missing", text, re.MULTILINE)
    assert "not asked for" not in text


def test_markdown_lists_every_point(document: str) -> None:
    """A column per budget, the suspicious value marked, area and crossing."""
    assert "| attack × defense | 0 | 0.25 | 0.5 | 1 | area [95 %] | reaches" in document
    assert re.search(
        r"\*\*search\*\* × smoothing \|( \d\.\d\d \|){3} \d\.\d\d \? \| \d\.\d\d \[.*\] \? \|", document
    )
    assert "the largest is shown" in document


def test_markdown_tables_keep_their_columns(document: str) -> None:
    """Each row of a table has as many cells as its head."""
    tables = re.findall(r"(?:^\|.*\n)+", document, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_markdown_tells_gaps_and_costs(document: str) -> None:
    """What the terminal says, as tables."""
    assert re.search(
        r"\| pso ≤ 1 m × smoothing \|.*\| 0\.00\d \| the defense relies on not being known", document
    )
    assert "| forward | backward | queries | seconds | overhead | remarks |" in document
    assert "prepared with 75,000 queries" in document


def test_csv_has_every_cost(swept_run: Path) -> None:
    """Overhead, preparation, counter-measure and winners are columns."""
    rows = list(csv.DictReader(io.StringIO(render(swept_run, "csv", ["ade"]))))
    (pso,) = (
        r
        for r in rows
        if (r["attack"], r["defense"], r["budget"], r["knowledge"]) == ("pso", "none", "1.0", "adaptive")
    )
    assert (pso["overhead"], pso["prepared_queries"], pso["prepared_seconds"]) == ("1.25", "5000.0", "2.5")
    assert {r["counter"] for r in rows} == {"", "straight-through"}
    worst = next(r for r in rows if r["attack"] == WORST)
    assert worst["winners"] == "search:restarts=4,iterations=50 20; pso 76"


def test_json_has_curves_and_gaps(swept_run: Path) -> None:
    """The headline's curves with area and crossing, its gaps at every budget; they fit the published schema."""
    found = json.loads(render(swept_run, "json", thresholds={"ade": 2.0}))
    jsonschema.validate(found, summary_schema())
    (curve,) = (
        c
        for c in found["curves"]
        if (c["attack"], c["defense"], c["knowledge"]) == ("pso", "none", "adaptive")
    )
    assert [point["budget"] for point in curve["points"]] == [0.0, 0.25, 0.5, 1.0]
    assert curve["metric"] == "ade"
    assert curve["area"]["low"] < curve["area"]["value"] < curve["area"]["high"]
    assert curve["crossing"]["threshold"] == 2.0
    assert curve["crossing"]["low"] < curve["crossing"]["value"] < curve["crossing"]["high"]
    (gap,) = (
        g
        for g in found["gaps"]
        if (g["attack"], g["defense"], g["budget"]["value"]) == ("pso", "smoothing", 1.0)
    )
    assert gap["difference"] == pytest.approx(gap["adaptive"] - gap["oblivious"])
    assert gap["outcome"] == "relies"


def test_json_needs_no_tables_for_plain_cells(swept_run: Path, tmp_path: Path) -> None:
    """Without curves and gaps the records are enough."""
    folder = tmp_path / "run"
    shutil.copytree(swept_run, folder)
    summary = read_run(folder)
    kept = [c.id for c in summary.cells if c.knowledge == "adaptive" and c.budget.value in (0.0, 1.0)]
    run = summary.run.model_copy(update={"cells": kept})
    (folder / "run.json").write_text(run.model_dump_json(by_alias=True))
    shutil.rmtree(folder / "examples")
    found = json.loads(render(folder, "json"))
    assert (found["curves"], found["gaps"]) == ([], [])
    assert len(found["cells"]) == len(kept)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["3"], {"ade": 3.0}),
        (["success=50%", "ade=2.5"], {"success": 0.5, "ade": 2.5}),
        (["success=0.25"], {"success": 0.25}),
        ([], {}),
    ],
)
def test_thresholds_are_read(swept_run: Path, texts: list[str], expected: dict[str, float]) -> None:
    """A number, a percentage, and a metric's name before it; the first metric where none is named."""
    assert given_thresholds(texts, metrics_of(read_run(swept_run))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "'many' is no number. Write 3, 50% or ade=3"),
        ("nan", "'nan' is no number"),
        ("adee=3", "no metric 'adee' is shown. Shown: ade, success"),
        ("success=50", "success is a share. Write 50% or 0.5"),
    ],
)
def test_a_wrong_threshold_is_a_usage_error(swept_run: Path, text: str, message: str) -> None:
    """The value, what was expected and what to write."""
    with pytest.raises(UsageError, match=re.escape(message)):
        given_thresholds([text], metrics_of(read_run(swept_run)))
