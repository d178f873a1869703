"""Running the command line inside the test process and outside of it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from robeval.cli.shell import call

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def robeval(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command line in this process, in a wide window."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object, debug: bool = False) -> Outcome:
        code = call([str(word) for word in words], debug)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a process and folder of its own, with this checkout's packages."""
    folders = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets"))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("COLUMNS", None)

    def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**environment, **changes},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def guest_file() -> Path:
    """A third party's plugin that no built-in list knows."""
    return ROOT / "examples" / "third_party_attack" / "robeval_drift"


GUEST = '''
"""A guest plugin file: the linear domain, and an attack that takes its time."""

import time
from dataclasses import dataclass

from robeval.testing import linear


@dataclass(frozen=True)
class Slow(linear.RandomCorner):
    """A random corner after a nap. Source: a test."""

    nap_s: float = 0.1

    def perturb(self, view, batch, budget, draw):
        time.sleep(self.nap_s)
        return super().perturb(view, batch, budget, draw)


@dataclass(frozen=True)
class Broken(linear.RandomCorner):
    """Raises. Source: a test."""

    def perturb(self, view, batch, budget, draw):
        raise RuntimeError("out of luck")


def register(registry):
    linear.register(registry)
    registry.attack("linear/slow", Slow)
    registry.attack("linear/broken", Broken)
'''


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """A plugin file with the linear domain."""
    path = tmp_path / "guest.py"
    path.write_text(GUEST)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with its own cache."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    return folder
