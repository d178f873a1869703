"""The pytest plugin, as another project's test suite meets it: in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robeval.cli.shell import call

ROOT = Path(__file__).parents[1]
Pytest = Callable[..., subprocess.CompletedProcess[str]]
EXPERIMENT = """
domain: linear
attacks: [none, worst]
defenses: [none]
plugins: [room.py]
execution: {accelerator: cpu}
"""
ROOM = '''
import torch

from robeval.testing import linear


class Line(linear.Line):
    """A line. Source: a test."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(WEIGHT))


def register(registry):
    linear.register(registry)
    registry.victim("linear/mine", Line)


WEIGHT = (1.0, -2.0)
'''
SCORING = '''

from dataclasses import dataclass


@dataclass(frozen=True)
class Worst(linear.WorstCase):
    """The same under another name. Source: a test."""


def register(registry):
    linear.register(registry)
    registry.entries = {k: e for k, e in registry.entries.items() if "worst" not in str(k)}
    registry.attack("linear/worst", Worst)
    registry.victim("linear/mine", Line)
'''
SUITE = '''
def test_robust(robeval):
    """The fixture."""
    verdict = robeval.check("experiment.yaml")
    assert verdict.exit_code == 0
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a baseline and one test."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    (folder / "room.py").write_text(ROOM)
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("attacks", "victims: [mine]\nattacks"))
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    assert call(["run", "experiment.yaml", "--out", "runs/first", "-q"]) == 0
    assert call(["baseline", "runs/first"]) == 0
    return folder


@pytest.fixture
def run(project: Path) -> Pytest:
    """Runs pytest there, with this checkout's packages and the plugin as an installation would load it."""
    paths = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets"))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "COLUMNS": "200",
    }

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "robeval.pytest_plugin", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *words], cwd=project, env=environment, capture_output=True, text=True, timeout=300
        )

    return ran


def worsen(project: Path) -> None:
    """The victim forgets its weights."""
    path = project / "room.py"
    path.write_text(ROOM.replace("WEIGHT = (1.0, -2.0)", "WEIGHT = (-1.0, 2.0)"))


def test_an_unchanged_project_passes(run: Pytest) -> None:
    """One test by the fixture, one per cell by the flag; the power of the sample is in the summary."""
    done = run("--robeval", "experiment.yaml", "-v", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert "test_suite.py::test_robust PASSED" in done.stdout
    assert "experiment.yaml::cell[worst <= 0.5 vs none on mine (points)] PASSED" in done.stdout
    assert "3 passed" in done.stdout
    assert "a drop of 2 points needs" in done.stdout


def test_a_changed_file_that_holds_scoring_too_is_not_judged(project: Path, run: Pytest) -> None:
    """Each cell says so and how to go on, without a traceback; with the word given, each says what it lost."""
    worsen(project)
    path = project / "room.py"
    path.write_text(path.read_text() + SCORING)
    words = ("--robeval", "experiment.yaml", "-m", "robeval")
    refused, judged = run(*words), run(*words, "--robeval-allow-changed")
    for done, message in (
        (refused, "changed: worst <= 0.5 vs none on mine (points): accuracy: the attack worst is not what"),
        (judged, "regressed: worst <= 0.5 vs none on mine (points): accuracy was 41 %, is 0 %"),
    ):
        assert done.returncode == 1, done.stdout
        assert "2 failed, 1 deselected" in done.stdout or "1 failed, 1 passed, 1 deselected" in done.stdout
        assert "_ cell[worst <= 0.5 vs none on mine (points)] _" in done.stdout
        assert message in done.stdout
        assert "Traceback" not in done.stdout
        assert "pytest_plugin.py" not in done.stdout
    assert "note: the victim mine is not what it was when the baseline was recorded" in judged.stdout


def test_the_fixture_fails_with_the_finding_alone(project: Path, run: Pytest) -> None:
    """The sentence that names cell, figures and tolerance; none of our code."""
    worsen(project)
    done = run("test_suite.py")
    assert done.returncode == 1
    assert "regressed: worst <= 0.5 vs none on mine (points): accuracy was" in done.stdout
    assert "pytest_plugin.py" not in done.stdout
    assert "E   " not in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--robeval", "other.yaml"), 4, "--robeval: no such file"),
        (
            ("--robeval", "experiment.yaml", "--robeval-baseline", "other.json", "-m", "robeval"),
            2,
            "Record a baseline with: robeval baseline RUN -o FILE",
        ),
        (("--robeval", "experiment.yaml", "--robeval-tolerance", "much"), 4, "invalid float value"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    run: Pytest, words: tuple[str, ...], code: int, message: str
) -> None:
    """pytest's own exit codes for usage and collection, and our message."""
    done = run(*words)
    assert done.returncode == code
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


def test_a_suite_that_does_not_use_it_pays_nothing() -> None:
    """Loading the plugin imports neither torch nor anything of robeval but its name."""
    code = (
        "import sys, robeval.pytest_plugin; "
        "print([m for m in sys.modules if m in ('torch', 'numpy', 'pydantic') or m.startswith('robeval.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['robeval.pytest_plugin']"
