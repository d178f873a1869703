"""The faces for programs and pull requests: JSON, CSV, Markdown."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from robeval.report.json_ import to_json
from robeval.report.render import render
from robeval.report.schema import schema_text, summary_schema
from robeval.report.summary import read_run

COMMITTED = Path(__file__).parents[2] / "docs" / "summary.schema.json"


@pytest.fixture(scope="module")
def document(finished_run: Path) -> Any:
    """The JSON report, parsed."""
    return json.loads(render(finished_run, "json"))


def test_the_committed_schema_is_the_current_one() -> None:
    """docs/summary.schema.json is what `python -m robeval.report.schema` writes."""
    assert COMMITTED.read_text(encoding="utf-8") == schema_text()


def test_the_document_fits_its_published_schema(document: Any) -> None:
    """A run with every kind of cell validates."""
    jsonschema.Draft202012Validator.check_schema(summary_schema())
    jsonschema.validate(document, json.loads(COMMITTED.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 2},
        {"cells": [{}]},
        {"surprise": 1},
    ],
)
def test_the_schema_refuses_what_is_not_a_summary(document: Any, damage: dict[str, Any]) -> None:
    """Another version, an empty cell or an unknown key do not validate."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | damage, summary_schema())


def test_a_cell_has_the_published_fields(document: Any) -> None:
    """The fields that the documentation promises are there, under these names."""
    cell = next(cell for cell in document["cells"] if cell["attack"] == "pso" and cell["status"] == "done")
    promised = (
        "id domain dataset victim attack defense knowledge budget seed n invalid status metrics cost verdict"
    )
    assert set(promised.split()) | {"evidence"} <= set(cell)
    assert set(document) == {"schema", "run", "environment", "cells", "curves", "gaps"}
    assert set(cell["budget"]) == {"name", "unit", "value"}
    assert {"value", "low", "high", "unit", "direction"} <= set(cell["metrics"]["ade"])
    assert set(cell["cost"]) == {
        "forward",
        "backward",
        "queries",
        "seconds",
        "overhead",
        "prepared_queries",
        "prepared_seconds",
    }


def test_a_value_that_is_not_finite_is_null(finished_run: Path) -> None:
    """JSON knows no Infinity: such a figure has value null and an n above 0, and still validates."""
    summary = read_run(finished_run)
    figure = summary.cells[0].metrics["ade"].model_copy(update={"value": math.inf, "low": None, "high": None})
    cell = summary.cells[0].model_copy(update={"metrics": {"ade": figure}})
    found = json.loads(to_json(summary.model_copy(update={"cells": [cell]})), parse_constant=pytest.fail)
    assert found["cells"][0]["metrics"]["ade"]["value"] is None
    assert found["cells"][0]["metrics"]["ade"]["n"] == 96
    jsonschema.validate(found, summary_schema())


def test_json_can_be_cut_to_some_metrics(finished_run: Path) -> None:
    """Named metrics only, in the cells and in their groups."""
    found = json.loads(render(finished_run, "json", ["success"]))
    kept = {name for cell in found["cells"] for name in cell["metrics"]}
    grouped = {name for cell in found["cells"] for group in cell["groups"].values() for name in group}
    assert kept == grouped == {"success"}


def test_csv_has_a_line_per_cell_and_metric(finished_run: Path, document: Any) -> None:
    """Values agree with the JSON; a cell without figures keeps one line with its reason."""
    rows = list(csv.DictReader(io.StringIO(render(finished_run, "csv"))))
    figures = sum(max(len(cell["metrics"]), 1) for cell in document["cells"])
    assert len(rows) == figures
    first = document["cells"][0]
    assert float(rows[0]["value"]) == first["metrics"]["ade"]["value"]
    failed = next(row for row in rows if row["status"] == "failed" and row["attack"] == "pso")
    assert failed["value"] == ""
    assert "shape mismatch" in failed["error"]


def test_csv_holds_groups_on_request(finished_run: Path) -> None:
    """The group column is empty for the whole and names the regime otherwise."""
    text = render(finished_run, "csv", ["ade"], by_group=True)
    assert {row["group"] for row in csv.DictReader(io.StringIO(text))} == {"", "low", "medium", "high"}


def test_markdown_tables_are_whole(finished_run: Path) -> None:
    """Every line of a table has as many cells as its head, whatever the texts contain."""
    lines = render(finished_run, "markdown").splitlines()
    tables = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    widths = {line.count("|") for line in tables}
    assert widths == {7, 9}  # five defenses and the attack; eight columns of cost
    assert any("2.95" in line and "**?**" in line for line in tables)


def test_markdown_says_what_the_terminal_says(finished_run: Path) -> None:
    """Evidence, failures and the command are in it."""
    text = render(finished_run, "markdown")
    assert "the victim answered NaN for 7 of 96 examples" in text
    assert "RuntimeError: shape mismatch" in text
    assert "```sh\nrobeval run trajectory" in text


def test_markup_cannot_escape_into_markdown(own_run: Path) -> None:
    """A bar or a tag in an error message stays text."""
    path = next(p for p in (own_run / "cells").iterdir() if "RuntimeError" in p.read_text())
    path.write_text(path.read_text().replace("shape mismatch", "a | b <script>"))
    assert "a \\| b \\<script>" in render(own_run, "markdown")
