"""`robeval audit`, `run --audit`, `run --worst-of` and `doctor --canaries` as a person uses them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Shell = Callable[..., Any]
PLUGIN = str(Path(__file__).parents[2] / "robeval/testing/linear.py")
RUN = ("run", "linear", "--plugin", PLUGIN, "-a", "steps", "-q", "--out")


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """A file that brings a quantising defense beside the closed-form domain."""
    path = tmp_path / "guest.py"
    path.write_text(
        "from robeval.testing.canaries import register as canaries\n"
        "from robeval.testing.linear import register as linear\n\n\n"
        "def register(registry):\n    linear(registry)\n    canaries(registry)\n"
    )
    return str(path)


def masked(plugin: str, folder: Path) -> tuple[str, ...]:
    """A run with a defense whose gradient is lost."""
    defense = ("-d", "none", "-d", "canary-quantised:fields=[point]")
    return ("run", "linear", "--plugin", plugin, "-a", "steps", *defense, "-q", "--out", str(folder))


def test_an_honest_run_passes(robeval: Shell, tmp_path: Path) -> None:
    """The table has a row for the attacked cell and no objection; exit 0 also under --strict."""
    assert robeval(*RUN, str(tmp_path / "r")).code == 0
    found = robeval("audit", str(tmp_path / "r"), "-q", "--strict")
    assert found.code == 0
    assert "steps ≤ 0.5 × none" in found.out
    assert "does white-box beat black-box?" in found.out
    assert "objects to" not in found.out


def test_a_masked_gradient_is_told_with_advice(robeval: Shell, plugin: str, tmp_path: Path) -> None:
    """Evidence, stage and advice are printed; --strict exits 4, otherwise 0."""
    robeval(*masked(plugin, tmp_path / "r"))
    found = robeval("audit", str(tmp_path / "r"), "-q")
    assert found.code == 0
    assert "gradient-path" in found.out
    assert "the slope gets lost at 'stage'" in found.out
    assert "straight through" in found.out
    assert robeval("audit", str(tmp_path / "r"), "-q", "--strict").code == 4


def test_counter_measures_are_rows_of_the_report(robeval: Shell, plugin: str, tmp_path: Path) -> None:
    """After --counter the report shows the straight-through row and what the cell is worth with it."""
    found = robeval(*masked(plugin, tmp_path / "r"), "--counter")
    assert "straight-through" in found.out
    assert "Scored again with counter-measures" in found.out
    again = robeval("report", str(tmp_path / "r"))
    assert "straight-through" in again.out
    assert "Audit" in again.out


def test_run_with_audit_prints_matrix_and_audit(robeval: Shell, tmp_path: Path) -> None:
    """One command runs, audits and reports."""
    found = robeval(*RUN, str(tmp_path / "r"), "--audit", "--worst-of", "-a", "random-corner")
    assert found.code == 0
    assert "Audit" in found.out
    assert "worst-of" in found.out
    assert (tmp_path / "r/audit.json").is_file()


def test_json_is_the_audit_document(robeval: Shell, tmp_path: Path) -> None:
    """With --json - standard output holds the document and nothing else."""
    robeval(*RUN, str(tmp_path / "r"))
    found = robeval("audit", str(tmp_path / "r"), "-q", "--json", "-", "--check", "one-step")
    document = json.loads(found.out)
    assert [entry["check"] for entry in document["entries"]] == ["one-step"]
    assert document["schema"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "no run 'nowhere'"),
        (("RUN", "--check", "one-stop"), "one-step"),
        (("RUN", "--check", "one-step:share=7"), "share"),
        (("RUN", "--examples", "1"), "--examples"),
    ],
)
def test_mistakes_are_told_in_words(
    robeval: Shell, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    """A wrong run, check, threshold or number exits 2 with the nearest right one."""
    robeval(*RUN, str(tmp_path / "r"))
    found = robeval("audit", *(str(tmp_path / "r") if word == "RUN" else word for word in words), "-q")
    assert found.code == 2
    assert told in found.err
    assert "Traceback" not in found.err


def test_checks_are_listed_and_explained(robeval: Shell) -> None:
    """`list checks` names all nine, `show` gives thresholds and how to run one."""
    listed = robeval("list", "checks").out
    assert listed.count("?") >= 9
    shown = robeval("show", "one-step").out
    assert "share" in shown
    assert "robeval audit RUN --check one-step" in shown


def test_canaries_are_proven_on_the_spot(robeval: Shell) -> None:
    """Every canary of the domain is caught and the honest cell is not flagged."""
    found = robeval("doctor", "--canaries", "--domain", "linear", "--plugin", PLUGIN)
    assert found.code == 0
    assert "all canaries caught, no honest cell flagged" in found.out
    assert "!!" not in found.out


def test_a_domain_without_canaries_says_what_it_lacks(robeval: Shell, tmp_path: Path) -> None:
    """A domain with discrete inputs cannot be proven, and the message says what it would need."""
    path = tmp_path / "discrete.py"
    path.write_text(
        "from robeval.testing.linear import LinearDomain\n\n\n"
        "class Discrete(LinearDomain):\n    name = 'discrete'\n    continuous = ()\n\n\n"
        "def register(registry):\n    registry.domain('discrete', Discrete)\n"
    )
    found = robeval("doctor", "--canaries", "--domain", "discrete", "--plugin", str(path))
    assert found.code == 2
    assert "continuous inputs" in found.err
