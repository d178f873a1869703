"""`robeval check` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Robeval = Callable[..., tuple[int, str, str]]
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def robeval(robeval: Robeval, home: Path, monkeypatch: pytest.MonkeyPatch) -> Robeval:
    """Commands typed in an empty folder, outside of GitHub Actions."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return robeval


@pytest.fixture
def recorded(robeval: Robeval, guest: Path, home: Path) -> Robeval:
    """The same, with an experiment and its baseline."""
    words = ("run", "linear", "--plugin", str(guest), "-a", "worst", "--save-config", "experiment.yaml")
    robeval(*words, "--out", "runs/first", "-q")
    robeval("baseline", "first")
    return robeval


def test_an_unchanged_project_holds(recorded: Robeval) -> None:
    """Exit 0; cells come from the cache; the power of the sample is told."""
    code, out, _ = recorded("check", "experiment.yaml")
    assert code == 0
    assert "held: 2 cells, none got significantly worse" in out
    assert "accuracy, 64 examples: a drop of" in out
    assert "a drop of 2 points needs" in out


def test_every_file_that_was_asked_for_is_written(recorded: Robeval, home: Path) -> None:
    """JUnit, Markdown and JSON, in folders that did not exist."""
    words = ("--junit", "ci/junit.xml", "--markdown", "ci/gate.md", "--json", "ci/gate.json")
    assert recorded("check", *words, "-q")[0] == 0
    assert (home / "ci/junit.xml").read_text().startswith("<?xml")
    assert (home / "ci/gate.md").read_text().startswith("## robeval: held")
    assert json.loads((home / "ci/gate.json").read_text())["exit_code"] == 0
    assert not list(home.rglob("*.part"))


def test_json_goes_to_stdout_alone(recorded: Robeval) -> None:
    """With --json - the words go to standard error."""
    code, out, err = recorded("check", "--json", "-", "-q")
    assert (code, json.loads(out)["counts"]) == (0, {"held": 2})
    assert "held: 2 cells" in err


def test_github_actions_are_noticed(
    recorded: Robeval, home: Path, guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing cell becomes an annotation, the verdict a job summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home / "summary.md"))
    guest.write_text(guest.read_text().replace("linear.register(registry)", BROKEN_WORST))
    code, out, _ = recorded("check", "experiment.yaml", "--allow-changed", "-q")
    assert code == 3
    assert "::error file=experiment.yaml,title=robeval%3A failed::failed: worst <= 0.5 vs none" in out
    assert "could not be judged" in (home / "summary.md").read_text()


BROKEN_WORST = """linear.register(registry)
    registry.entries = {k: e for k, e in registry.entries.items() if "worst" not in str(k)}
    registry.attack("linear/worst", Broken)"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--baseline", "other.json"), "Record a baseline with: robeval baseline RUN -o FILE"),
        (("other.yaml",), "no such file or folder: other.yaml"),
        (("--tolerance", "-1"), "not in the range"),
        (("--alpha", "0"), "not in the range"),
        (("--junit", "experiment.yaml/x.xml"), "cannot write experiment.yaml/x.xml"),
    ],
)
def test_mistakes_are_usage_errors(recorded: Robeval, words: tuple[str, ...], message: str) -> None:
    """Exit 2, said before anything runs."""
    code, _, err = recorded("check", *words)
    assert code == 2
    assert message in err


def test_another_experiment_is_refused(recorded: Robeval, home: Path) -> None:
    """Exit 2 with what differs: a gate on other cells would gate nothing."""
    path = home / "experiment.yaml"
    path.write_text(path.read_text().replace("seeds: 1", "seeds: 2"))
    code, _, err = recorded("check", "experiment.yaml")
    assert code == 2
    assert "seeds: recorded 1, asked for 2" in err
    assert "leave the experiment out" in err


def test_a_damaged_baseline_is_refused(recorded: Robeval, home: Path) -> None:
    """Exit 2 for JSON that is broken or whose outcomes are gone."""
    path = home / "robeval-baseline.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    assert recorded("check")[0] == 2
    path.write_text(text)
    (home / "robeval-baseline.parquet").unlink()
    code, _, err = recorded("check")
    assert code == 2
    assert "commit both files" in err


def test_ctrl_c_is_answered_and_resumed(robeval: Robeval, guest: Path, home: Path) -> None:
    """130 and the command that continues; no half-written file; the same command then ends well."""
    slow = ("-a", "slow:nap_s=0.3", "--seeds", "2", "--batch-size", "8")
    robeval("run", "linear", "--plugin", str(guest), *slow, "--out", "runs/first", "-q")
    assert robeval("baseline", "first")[0] == 0
    paths = [CHECKOUT, *(CHECKOUT / name for name in ("attacks", "defenses", "datasets"))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "robeval", "check", "--batch-size", "8", "--fresh", "--out", "out"]
    command += ["--junit", "junit.xml", "-q"]
    process = subprocess.Popen(command, cwd=home, env=env, stderr=subprocess.PIPE, text=True)
    journal = home / "out" / "journal.jsonl"
    while not (journal.exists() and '"kind": "chunk"' in journal.read_text()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Continue with: robeval check" in err
    assert not (home / "junit.xml").exists()
    code, out, err = robeval("check", "--batch-size", "8", "--out", "out", "--junit", "junit.xml", "-q")
    assert code == 0, out + err
    assert (home / "junit.xml").is_file()
