"""`robeval run DOMAIN --profile NAME`: a named variant of the domain's default run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Robeval = Callable[..., tuple[int, str, str]]
LINEAR = ("run", "linear", "--plugin", "GUEST")
NOTE = "profile fast: a quarter of the points and a random attack"


@pytest.fixture
def robeval(robeval: Robeval, guest: Path, home: Path) -> Robeval:
    """Commands typed in an empty folder; `GUEST` stands for the plugin file."""
    return lambda *words: robeval(*(str(guest) if word == "GUEST" else word for word in words))


def summary(out: str) -> dict[str, Any]:
    """What --json - printed."""
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_profile_replaces_what_it_names(robeval: Robeval) -> None:
    """The linear domain's fast profile runs its own attack on 16 points; dataset, victim and defense stay."""
    code, out, err = robeval(*LINEAR, "--profile", "fast", "--json", "-")
    cells = summary(out)["cells"]
    assert code == 0
    assert [(cell["attack"], cell["defense"], cell["n"]) for cell in cells] == [
        ("none", "none", 16),
        ("random-corner", "none", 16),
    ]
    assert NOTE in err


def test_flags_win_over_a_profile(robeval: Robeval) -> None:
    """An attack and a number of examples that are given replace the profile's."""
    words = ("--profile", "fast", "-a", "worst", "--max-examples", "8", "--json", "-")
    cells = summary(robeval(*LINEAR, *words)[1])["cells"]
    assert [(cell["attack"], cell["n"]) for cell in cells] == [("none", 8), ("worst", 8)]


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_every_report_says_what_the_profile_claims(robeval: Robeval, form: str) -> None:
    """The note stands in the report's head, and in no report of a run without a profile."""
    robeval(*LINEAR, "--profile", "fast", "--out", "small")
    robeval(*LINEAR, "--out", "usual")

    def told(run: str) -> str:
        extra = ["--no-pictures"] if form == "html" else []
        _, out, _ = robeval("report", run, "--format", form, *extra)
        return out

    assert NOTE in told("small")
    assert "profile" not in told("usual").split("accuracy")[0]


def test_a_saved_profile_is_written_out(robeval: Robeval, home: Path) -> None:
    """The YAML names the profile and everything it stood for, and repeats the run in the same folder."""
    robeval(*LINEAR, "--profile", "fast", "--save-config", "again.yaml")
    saved = yaml.safe_load((home / "again.yaml").read_text())
    assert (saved["profile"], saved["attacks"], saved["max_examples"]) == (
        "fast",
        ["none", "random-corner"],
        16,
    )
    _, out, err = robeval("run", "again.yaml", "--json", "-")
    assert "2 of 2 cells from cache" in err
    assert summary(out)["run"]["note"] == NOTE
    assert len(list((home / "runs").iterdir())) == 1


def test_a_run_without_a_profile_does_not_know_of_them(robeval: Robeval, home: Path) -> None:
    """The run folder's name and marker are what they were before there were profiles."""
    robeval(*LINEAR, "--out", "usual")
    assert "profile" not in json.loads((home / "usual" / "experiment.json").read_text())


def test_an_unknown_profile_is_a_usage_error(robeval: Robeval) -> None:
    """Exit 2 with the nearest name and all known ones."""
    code, _, err = robeval(*LINEAR, "--profile", "fats")
    assert code == 2
    assert "no profile 'fats'. Did you mean 'fast'? Known here: fast" in err


def test_profiles_are_shown(robeval: Robeval) -> None:
    """`robeval show DOMAIN` lists each profile with what it replaces."""
    _, out, _ = robeval("show", "linear", "--plugin", "GUEST")
    assert "--profile fast: a quarter of the points" in out
    assert "none, random-corner" in out
