"""kill -9 at random moments, of the run and of its workers: nothing is lost, doubled or half-written."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from robeval.results.journal import Journal
from robeval.results.store import RunFolder

CHECKOUT = Path(__file__).parents[2]
LAUNCHER = """
import json, os, sys, traceback
import pyarrow.parquet, robeval.engine.run, robeval.report.terminal
from robeval.cli.shell import main

for line in sys.stdin:
    words = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(os.environ["CHILD_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 99
        try:
            main(words)
        except SystemExit as leaving:
            code = leaving.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports once what every run imports, and forks: the runs are processes of their own and start at once."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in Linux's /proc")


@dataclass
class Launcher:
    """Starts command lines as processes, one after the other."""

    process: "subprocess.Popen[str]"
    log: Path

    def start(self, words: list[str]) -> int:
        """The id of the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return int(self._said())

    def wait(self) -> int:
        """Its exit code when it has ended."""
        return int(self._said())

    def _said(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the launcher ended"
        return line


@pytest.fixture
def launcher(home: Path) -> Iterator[Launcher]:
    """A launcher in the test's folder, with a cache that every killed run shares."""
    paths = [CHECKOUT, *(CHECKOUT / name for name in ("attacks", "defenses", "datasets"))]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "ROBEVAL_CACHE_DIR": str(home / "cache"),
        "CHILD_LOG": str(home / "log.txt"),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], env=env, cwd=home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    with process:
        yield Launcher(process, home / "log.txt")
        assert process.stdin is not None
        process.stdin.close()


def words(guest: Path, out: str, executor: str) -> list[str]:
    """Two trained victims, three attacks, eight chunks a cell; some chunks take their time."""
    line = ["run", "linear", "--plugin", str(guest), "--victim", "fitted-line", "--seeds", "2", "-d", "none"]
    line += ["-a", "slow:nap_s=0.03", "-a", "steps", "--batch-size", "8", "--accelerator", "cpu", "-q"]
    return [*line, "--out", out, "--executor", executor, "--jobs", "2"]


def events(folder: Path) -> list[dict[str, Any]]:
    """All that any process noted down."""
    return [event for path in sorted(folder.glob("journal*.jsonl")) for event in Journal(path).events()]


def workers_of(process: int) -> list[int]:
    """The worker processes of a run."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    except OSError:
        return []


def kill_at_random(launcher: Launcher, line: list[str], folder: Path, chance: random.Random) -> int:
    """Start the run and kill it, or a worker and then it, at moments of its work; how many were killed."""
    process = launcher.start(line)
    killed = 0
    for target in chance.choice([["main"], ["worker", "main"]] if "processes" in line else [["main"]]):
        enough = len(events(folder)) + chance.randrange(6)
        while len(events(folder)) < enough and _is_running(process):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        prey = [process] if target == "main" else workers_of(process)
        if prey and _is_running(process):
            os.kill(chance.choice(prey), signal.SIGKILL)
            killed += 1
    code = launcher.wait()
    assert code in (0, 3, -signal.SIGKILL), launcher.log.read_text()
    return killed


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def outcome(folder: Path) -> dict[str, Any]:
    """All that a finished run says, but for what depends on the clock; asserts that it is whole."""
    run = json.loads((folder / "run.json").read_bytes())
    assert run["complete"]
    assert sorted(run["cells"]) == sorted(path.stem for path in (folder / "cells").iterdir())
    assert not any((folder / "chunks").iterdir())
    assert not list(folder.rglob("*.part"))
    seen = Counter((e["kind"], e["cell"], e["key"], e.get("chunk")) for e in events(folder))
    assert set(seen.values()) == {1}
    store = RunFolder(folder)
    found: dict[str, Any] = {}
    for cell in run["cells"]:
        event = store.event(cell)
        assert event is not None
        record = store.finished(cell, event["key"])
        assert record is not None, f"{cell} is not what was written"
        assert record.status == "done"
        content = record.model_dump()
        for part in ("cost", "observed"):
            clock = {"seconds", "overhead", "bare_seconds", "prepared_seconds"}
            content[part] = {name: value for name, value in content[part].items() if name not in clock}
        files = [path for kind in ("examples", "artifacts") for path in (folder / kind).glob(f"{cell}.*")]
        found[cell] = [content, {path.name: path.read_bytes() for path in files}]
    return found


def check(launcher: Launcher, guest: Path, home: Path, executor: str, moments: int, seed: int) -> None:
    """Kill at so many moments, over as many runs as that takes; each ends as the undisturbed run did."""
    chance = random.Random(seed)
    undisturbed = words(guest, "undisturbed", "local")
    launcher.start(undisturbed)
    assert launcher.wait() == 0, launcher.log.read_text()
    expected = outcome(home / "undisturbed")
    killed, number = 0, 0
    while killed < moments:
        number += 1
        name = f"run-{number}"
        # Every run is from nothing: what the others have finished would leave nothing to disturb.
        if (home / "cache").exists():
            (home / "cache").rename(home / f"cache-before-{number}")
        line = words(guest, name, executor)
        while killed < moments and not _is_complete(home / name):
            killed += kill_at_random(launcher, line, home / name, chance)
        launcher.start(line)
        assert launcher.wait() == 0, launcher.log.read_text()
        assert outcome(home / name) == expected


def _is_complete(folder: Path) -> bool:
    path = folder / "run.json"
    return path.is_file() and bool(json.loads(path.read_bytes())["complete"])


def test_three_kills(launcher: Launcher, guest: Path, home: Path) -> None:
    """The short version: the run itself, resumed each time."""
    check(launcher, guest, home, "local", moments=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("executor", "seed"), [("local", 7), ("processes", 8)])
def test_twenty_kills(launcher: Launcher, guest: Path, home: Path, executor: str, seed: int) -> None:
    """The long version: the run itself, and the run and its workers."""
    check(launcher, guest, home, executor, moments=20, seed=seed)
