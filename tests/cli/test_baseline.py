"""`robeval baseline` as a user meets it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Robeval = Callable[..., tuple[int, str, str]]


@pytest.fixture
def robeval(robeval: Robeval, guest: Path, home: Path) -> Robeval:
    """Commands typed in an empty folder; `GUEST` stands for the plugin file."""
    return lambda *words: robeval(*(str(guest) if word == "GUEST" else word for word in words))


@pytest.fixture
def ran(robeval: Robeval) -> Robeval:
    """The same, with two finished runs: `good`, and `broken` with a cell that raised."""
    for name, attack in (("good", "worst"), ("broken", "broken")):
        robeval("run", "linear", "--plugin", "GUEST", "-a", attack, "--out", f"runs/{name}", "-q")
    return robeval


def test_a_run_is_recorded_by_its_name(ran: Robeval, home: Path) -> None:
    """Two files, and in words what gates and how much is tolerated."""
    code, out, err = ran("baseline", "good")
    assert (code, err) == (0, "")
    assert "wrote robeval-baseline.json (2 cells) and robeval-baseline.parquet; commit both." in out
    assert "gates on accuracy: higher is better, tolerance 2 points of a share" in out
    assert sorted(path.name for path in home.glob("robeval-*")) == [
        "robeval-baseline.json",
        "robeval-baseline.parquet",
    ]


def test_metrics_are_chosen_and_the_plugin_file_is_kept(ran: Robeval, home: Path, guest: Path) -> None:
    """--metric names what gates; a plugin outside the working folder stays where it is."""
    code, out, _ = ran("baseline", "good", "--metric", "margin", "-o", "ci/gate.json")
    assert code == 0
    assert "gates on margin: higher is better, tolerance 2 % of the recorded figure" in out
    document = json.loads((home / "ci" / "gate.json").read_text())
    assert [metric["name"] for metric in document["metrics"]] == ["margin"]
    assert document["experiment"]["plugins"] == [str(guest)]


def test_failed_cells_are_refused(ran: Robeval, home: Path) -> None:
    """Exit 3, the cell and its error, the flag; nothing is written."""
    code, _, err = ran("baseline", "broken")
    assert code == 3
    assert "broken <= 0.5 vs none on line (points): failed (seed 0): RuntimeError: out of luck" in err
    assert "--leave-out-failed" in err
    assert not list(home.glob("robeval-*"))
    assert ran("baseline", "broken", "--leave-out-failed")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("goood",), "no run 'goood'. Did you mean 'good'?"),
        (("good", "--metric", "acuracy"), "Did you mean 'accuracy'?"),
        (("good", "-o", "runs/good/run.json/x.json"), "cannot write"),
        (("good", "-o", "runs"), "is a directory"),
    ],
)
def test_mistakes_are_usage_errors(ran: Robeval, words: tuple[str, ...], message: str) -> None:
    """Exit 2 and what to do."""
    code, _, err = ran("baseline", *words)
    assert code == 2
    assert message in err
