"""Two processes never write to one run folder; a killed one holds nobody up."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robeval.errors import UsageError
from robeval.results import lock
from robeval.results.lock import HOLDER, LEASE, LOCK, held, is_held, leased
from robeval.results.remote import Remote
from robeval.results.store import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from robeval.results.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    """Process, machine and what to do; after kill -9 the folder is free at once."""
    process = holder(tmp_path / "run")
    try:
        assert is_held(tmp_path / "run")
        with pytest.raises(UsageError, match="another --out") as caught, held(tmp_path / "run"):
            pass
        assert f"process {process.pid} on {socket.gethostname()}" in str(caught.value)
    finally:
        process.kill()
        process.wait()
    assert not is_held(tmp_path / "run")
    with held(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / HOLDER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run" / HOLDER).exists()


def test_a_folder_of_somebody_elses_gets_no_lock(tmp_path: Path) -> None:
    """A refused --out stays as it was."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="not a run folder"), RunFolder(tmp_path).held():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_was_killed_at_its_first_step_left_a_usable_folder(tmp_path: Path) -> None:
    """A lock alone does not make it somebody else's."""
    (tmp_path / LOCK).touch()
    folder = RunFolder(tmp_path)
    with folder.held():
        folder.claim({"domain": "linear"})
    assert (tmp_path / "experiment.json").is_file()


def test_a_url_is_leased(remote: Remote) -> None:
    """The second is refused while the first holds it, and served after it."""
    with leased(remote):
        with pytest.raises(UsageError, match=rf"(?s)process {os.getpid()} on .*runs out in"), leased(remote):
            pass
        assert remote.listing() == {}
    with leased(remote):
        pass
    assert remote.read(LEASE) is None


@pytest.mark.parametrize(
    ("host", "pid", "age_s", "is_free"),
    [
        ("elsewhere", 1, 10.0, False),
        ("elsewhere", 1, lock.EXPIRES_S + 1, True),
        ("here", 2**22 + 1, 10.0, True),
        ("here", os.getpid(), 10.0, False),
    ],
    # Named, as every test worker has a number of its own.
    ids=["elsewhere, young", "elsewhere, old", "here, dead", "here, alive"],
)
def test_a_lease_of_the_dead_runs_out(
    remote: Remote, host: str, pid: int, age_s: float, is_free: bool
) -> None:
    """At once where its process can be looked for, after a while where not."""
    name = socket.gethostname() if host == "here" else host
    beat = time.time() - age_s
    remote.write(LEASE, json.dumps({"host": name, "pid": pid, "beat": beat, "token": "1"}).encode())
    if is_free:
        with leased(remote):
            pass
    else:
        with pytest.raises(UsageError, match=f"process {pid} on {name}"), leased(remote):
            pass


def test_a_holder_says_again_and_again_that_it_is_there(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that is in use does not run out."""
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    with leased(remote):
        first = json.loads(remote.read(LEASE) or b"{}")["beat"]
        for _ in range(500):
            content = remote.read(LEASE)
            if content and json.loads(content)["beat"] > first:
                return
            time.sleep(0.02)
    raise AssertionError("no beat in ten seconds")


def test_a_place_that_cannot_be_written_is_a_mistake_of_usage(s3: str) -> None:
    """An absent bucket is said before anything is computed."""
    with (
        pytest.raises(UsageError, match=r"-absent/run cannot be .*bucket"),
        leased(Remote(f"{s3}-absent/run")),
    ):
        pass
