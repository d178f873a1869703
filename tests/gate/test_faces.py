"""The faces of a verdict: JUnit, Markdown, JSON, terminal, GitHub."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from rich.console import Console

from robeval.gate.github import workflow_commands, write_summary
from robeval.gate.json_ import json_verdict
from robeval.gate.junit import junit
from robeval.gate.markdown import markdown
from robeval.gate.terminal import print_verdict
from robeval.gate.verdict import Change, Verdict

SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).parent / "junit.xsd")))
WORST = "worst <= 0.5 m vs none on line (points)"


def test_junit_is_valid_and_one_case_per_cell(mixed: Verdict) -> None:
    """A regression is a failure, a failed cell an error; control characters and markup do not break the file."""
    document = etree.fromstring(junit(mixed).encode())
    SCHEMA.assertValid(document)
    assert {k: document.get(k) for k in ("tests", "failures", "errors", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "time": "3,661.500",
    }
    cases = {case.get("name"): [child.tag for child in case] for case in document.iter("testcase")}
    assert cases[WORST] == ["failure"]
    assert cases["a<b>|c <= 0.5 m vs none on line (points)"] == ["error"]
    assert {case.get("classname") for case in document.iter("testcase")} == {"robeval.points.line"}
    (failure,) = document.iter("failure")
    assert failure.get("type") == "regressed"
    assert "accuracy was 100 %, is 0 %: 100.0 points worse" in failure.get("message")
    (error,) = document.iter("error")
    assert "<b>100 %</b>|?[31m `x` & ]]>" in error.text


@pytest.mark.parametrize(
    ("old", "new"),
    [("<testcase name=", "<testcase nick="), ('tests="4"', ""), ('time="3,661.500"', 'time="1 hour"')],
)
def test_the_schema_refuses_what_servers_refuse(mixed: Verdict, old: str, new: str) -> None:
    """The schema that the test relies on can fail."""
    text = junit(mixed).replace("<testcase classname", "<testcase  classname")
    text = text.replace('classname="robeval.points.line" name=', "name=") if "nick" in new else text
    text = text.replace("<testcase  name=", "<testcase name=")
    assert old in text
    assert not SCHEMA.validate(etree.fromstring(text.replace(old, new).encode()))


def test_markdown_tables_survive_any_name(mixed: Verdict) -> None:
    """Every row has the same number of cells, and plugin text is escaped."""
    text = markdown(mixed)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 4
    assert {line.replace("\\|", "").count("|") for line in rows} == {9}
    assert "## robeval: regressed: 1 cell of 4 got worse; 1 cell could not be judged" in text
    assert "a\\<b>\\|c" in text
    assert "robeval check ci/experiment.yaml" in text
    assert "robeval baseline runs/linear-1 -o robeval-baseline.json" in text


def test_json_is_strict(mixed: Verdict) -> None:
    """No NaN or infinity; the exit code, states and what a program would ask for are there."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(json_verdict(mixed), parse_constant=refuse)
    assert document["exit_code"] == 1
    assert document["counts"] == mixed.counts
    (cell,) = [cell for cell in document["cells"] if cell["cell"] == WORST]
    assert (cell["recorded"], cell["now"], cell["worse"]["value"]) == (1.0, 0.0, 1.0)
    assert cell["p"] < 0.01


def test_the_terminal_says_what_matters(mixed: Verdict) -> None:
    """The moved cells in sentences, the power of the sample, and the outcome as the last line."""
    screen = Console(file=io.StringIO(), width=200, color_system=None)
    print_verdict(mixed, screen)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert (
        f"regressed: {WORST}: accuracy was 100 %, is 0 %: 100.0 points worse (2.0 tolerated; p < 0.001"
        in text
    )
    assert "improved: weak" in text
    assert "would have failed the check (80 % power)" in text
    assert "a drop of 2 points needs " in text
    assert text.splitlines()[-1].startswith("regressed: 1 cell of 4 got worse")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_numbers_are_never_cut(mixed: Verdict, width: int) -> None:
    """A narrow terminal folds names, not figures."""
    screen = Console(file=io.StringIO(), width=width, color_system=None)
    print_verdict(mixed, screen)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "✗ regressed" in " ".join(text.split())


def test_github_gets_a_summary_and_annotations(mixed: Verdict, tmp_path: Path) -> None:
    """The summary is appended to what other steps wrote; annotations are escaped, one line each."""
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    environment = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    assert write_summary(mixed, environment) == summary
    assert summary.read_text() == "# before\n" + markdown(mixed)
    lines = list(workflow_commands(mixed, environment))
    assert len(lines) == 3
    assert not any("\n" in line for line in lines)
    assert lines[0].startswith(
        "::error file=ci/experiment.yaml,title=robeval%3A regressed::regressed: worst <= 0.5 m"
    )
    assert "100 %25, is 0 %25" in lines[0]
    assert "%0A a second line" in next(line for line in lines if "out of" not in line and "a<b>" in line)
    assert lines[-1].startswith("::notice ")


def test_outside_of_github_nothing_is_written(mixed: Verdict) -> None:
    """Neither summary nor annotations."""
    assert write_summary(mixed, {}) is None
    assert list(workflow_commands(mixed, {"GITHUB_ACTIONS": "false"})) == []


def test_a_full_summary_is_not_overrun(mixed: Verdict, tmp_path: Path) -> None:
    """GitHub refuses a step's summary above 1 MiB as a whole: ours then says the outcome only."""
    summary = tmp_path / "summary.md"
    summary.write_text("x" * (1024 * 1024 - 200))
    write_summary(mixed, {"GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.stat().st_size < 1024 * 1024
    assert summary.read_text().endswith("the table is too long for a summary.\n")


def test_what_changed_is_told_on_every_face(
    places: Callable[[str], Any], verdict: Callable[..., Verdict]
) -> None:
    """A changed attack stands in Markdown, JUnit and JSON, with the way out."""
    folder = places("a").cell("none", [1.0] * 40).cell("worst", [1.0] * 40).done()
    made = verdict(folder, folder, changed=[Change("attack worst", "1", "2", blocks=True)])
    assert made.exit_code == 3
    for text in (markdown(made), junit(made)):
        assert "the attack worst is not what it was when the baseline was recorded" in text
        assert "--allow-changed" in text
    assert json.loads(json_verdict(made))["changes"][0]["what"] == "attack worst"
    lines = list(workflow_commands(made, {"GITHUB_ACTIONS": "true"}))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
