"""Interruption: Ctrl-C is answered at once, and nothing finished is lost to it or to a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robeval.results.lock import held

CHECKOUT = Path(__file__).parents[2]


def command(guest: Path, *more: str) -> list[str]:
    """A run of eight slow chunks in two cells, and eight quick ones of the clean row."""
    words = [
        sys.executable,
        "-m",
        "robeval",
        "run",
        "linear",
        "--plugin",
        str(guest),
        "-a",
        "slow",
        "-d",
        "none",
    ]
    return [*words, "--seeds", "2", "--batch-size", "16", "--out", "out", "--json", "summary.json", *more]


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    """The checkout's packages on the path, whatever is installed."""
    paths = [CHECKOUT, *(CHECKOUT / name for name in ("attacks", "defenses", "datasets"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}


def started(words: list[str], env: dict[str, str], home: Path) -> subprocess.Popen[str]:
    """The run in a process of its own."""
    return subprocess.Popen(
        words, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def chunks(home: Path) -> int:
    """How many chunks the journal holds."""
    path = home / "out" / "journal.jsonl"
    return path.read_text().count('"kind": "chunk"') if path.exists() else 0


def wait_for(home: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until the journal holds `count` chunks."""
    for _ in range(1200):
        if chunks(home) >= count:
            return
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        time.sleep(0.05)
    raise AssertionError("the run made no progress")


def figures(home: Path) -> list[object]:
    """All figures of the summary, costs left out."""
    cells = json.loads((home / "summary.json").read_text())["cells"]
    return [[cell["id"], cell["n"], cell["metrics"], cell["groups"], cell["verdict"]] for cell in cells]


def test_ctrl_c_is_answered_and_the_same_command_continues(
    guest: Path, home: Path, env: dict[str, str]
) -> None:
    """Exit code 130 within a second, with the command that resumes; it does only what was left."""
    process = started(command(guest), env, home)
    wait_for(home, 10, process)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - asked < 3  # one second on an idle machine
    assert "Continue with: robeval run linear" in err
    assert "Traceback" not in err
    done = chunks(home)
    finished = subprocess.run(command(guest), env=env, cwd=home, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert done <= chunks(home) == 16


def test_a_killed_run_ends_as_an_undisturbed_one(guest: Path, home: Path, env: dict[str, str]) -> None:
    """After kill -9 in the middle of a cell, the same command ends with the same figures and tables."""
    process = started(command(guest), env, home)
    wait_for(home, 11, process)
    process.kill()
    process.communicate()
    assert 11 <= chunks(home) < 16
    for path in (home / "out").rglob("*.part"):
        assert path.name.startswith(".")
    subprocess.run(command(guest), env=env, cwd=home, check=True, capture_output=True)
    resumed = figures(home)
    tables = {p.name: p.read_bytes() for p in (home / "out/examples").iterdir()}
    undisturbed = subprocess.run(
        command(guest, "--fresh"), env=env, cwd=home, check=True, capture_output=True
    )
    assert undisturbed.returncode == 0
    assert figures(home) == resumed
    assert {p.name: p.read_bytes() for p in (home / "out/examples").iterdir()} == tables


def test_a_second_run_in_the_same_folder_is_refused(
    guest: Path, home: Path, env: dict[str, str], robeval: Callable[..., Any]
) -> None:
    """One message with the first one's process, exit code 2; the first goes on, and when it is killed all is free."""
    robeval("run", "linear", "--plugin", guest, "--dry-run")  # what it imports is imported
    words = [word.replace("slow", "slow:nap_s=1") for word in command(guest)]
    first = started(words, env, home)
    wait_for(home, 1, first)
    second = robeval(*words[3:])
    assert second.code == 2
    assert f"out is being written by process {first.pid} on" in second.err
    assert "--out" in second.err
    assert first.poll() is None
    first.kill()
    first.communicate()
    with held(home / "out"):
        pass


TERMINATED = '''
"""A guest that sends its own process SIGTERM once: in the middle of a training, or of an attack."""

import os
import signal
from dataclasses import dataclass

from robeval.testing import linear


def once(place):
    mark = os.environ["TERMINATED_MARK"]
    if os.environ["TERMINATED_AT"] == place and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGTERM)


class Line(linear.FittedLine):
    """A fitted line. Source: a test."""

    def loss(self, batch):
        once("training")
        return super().loss(batch)


@dataclass(frozen=True)
class Corner(linear.RandomCorner):
    """A random corner. Source: a test."""

    def perturb(self, view, batch, budget, draw):
        once("attack")
        return super().perturb(view, batch, budget, draw)


def register(registry):
    linear.register(registry)
    registry.victim("linear/line-of-guest", Line)
    registry.attack("linear/corner-of-guest", Corner)
'''


@pytest.mark.parametrize("place", ["training", "attack"])
def test_sigterm_ends_the_run_and_fails_no_cell(
    home: Path, robeval: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Also inside Lightning, which would let the run go on: exit code 143, and the same command ends what was begun."""
    guest = home / "guest.py"
    guest.write_text(TERMINATED)
    monkeypatch.setenv("TERMINATED_AT", place)
    monkeypatch.setenv("TERMINATED_MARK", str(home / "mark"))
    words = [
        "run",
        "linear",
        "--plugin",
        guest,
        "--victim",
        "line-of-guest",
        "-a",
        "corner-of-guest",
        "-d",
        "none",
    ]
    before = signal.getsignal(signal.SIGTERM)
    stopped = robeval(*words, "--out", "out")
    assert stopped.code == 143
    assert "Continue with: robeval run linear" in stopped.err
    assert "failed" not in stopped.err
    assert "Traceback" not in stopped.err
    assert signal.getsignal(signal.SIGTERM) is before
    finished = robeval(*words, "--out", "out", "--json", "summary.json")
    assert finished.code == 0, finished.err
    cells = json.loads((home / "summary.json").read_text())["cells"]
    assert [cell["status"] for cell in cells] == ["done", "done"]
