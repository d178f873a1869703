"""The command line against a real S3-compatible server: runs and the cache are there, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from robeval.cli.shell import call
from robeval.results.remote import Remote

Command = Callable[..., tuple[int, str, str]]
LINEAR = Path(__file__).parents[2] / "robeval" / "testing" / "linear.py"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to another machine: nothing of the cache, the mirrors or the working folder is there."""

    def go(name: str) -> None:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        monkeypatch.chdir(home)
        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))

    return go


@pytest.fixture
def robeval(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        code = call([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def ran(robeval: Command, out: str, *more: str) -> tuple[int, str, str]:
    """A small run of the closed-form domain."""
    words = ["run", "linear", "--plugin", LINEAR, "--victim", "fitted-line", "-a", "steps", "-d", "none"]
    return robeval(*words, "--accelerator", "cpu", "--out", out, "--json", "-", "-q", *more)


def figures(text: str) -> list[object]:
    """All figures of a summary, costs left out."""
    return [[c["id"], c["n"], c["metrics"], c["groups"], c["verdict"]] for c in json.loads(text)["cells"]]


def test_a_run_at_a_url_is_seen_from_every_machine(
    s3: str, robeval: Command, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run here; report, compare, baseline, check, audit and resume elsewhere; the cache is shared."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", f"{s3}/cache")
    machine("local")
    code, local, err = ran(robeval, "run")
    assert code == 0, err
    machine("first")
    code, out, err = ran(robeval, f"{s3}/runs/one")
    assert code == 0, err
    assert "2 of 2 cells from cache" in err
    assert f"{s3}/runs/one" in err
    assert figures(out) == figures(local)
    kinds = {name.split("/")[0] for name in Remote(f"{s3}/cache").listing()}
    assert kinds == {"cells", "victims"}

    machine("second")
    code, out, err = robeval("report", f"{s3}/runs/one", "-f", "json")
    assert code == 0, err
    assert figures(out) == figures(local)
    code, out, err = ran(robeval, f"{s3}/runs/one")
    assert (code, figures(out)) == (0, figures(local)), err
    assert "2 of 2 cells from cache" in err
    code, out, err = robeval("compare", f"{s3}/runs/one", f"{s3}/runs/one", "-f", "json")
    assert code == 0, err
    assert robeval("baseline", f"{s3}/runs/one")[0] == 0
    code, out, err = robeval("check", "--plugin", LINEAR, "--out", f"{s3}/runs/check", "-q")
    assert code == 0, err
    code, out, err = robeval("audit", f"{s3}/runs/one", "-q", "--check", "random-noise")
    assert code == 0, err
    assert {"audit.json", "audit"} <= {name.split("/")[0] for name in Remote(f"{s3}/runs/one").listing()}

    machine("third")
    code, out, err = robeval("report", f"{s3}/runs/one")
    assert code == 0, err
    assert "random-noise" in out
    code, out, err = robeval("cache", "info", "--json")
    assert code == 0, err
    assert json.loads(out)["folder"] == f"{s3}/cache"
    assert json.loads(out)["kinds"]["victims"]["entries"] == 1
    assert robeval("cache", "verify")[0] == 0
    name = next(name for name in Remote(f"{s3}/cache").listing() if name.startswith("victims"))
    Remote(f"{s3}/cache").write(name, b"damaged")
    code, out, err = robeval("cache", "verify")
    assert code == 3
    assert f"damaged: {s3}/cache/{name}" in out
    assert robeval("cache", "prune", "--damaged")[0] == 0
    assert name not in Remote(f"{s3}/cache").listing()
    assert robeval("cache", "prune", "--all")[0] == 0
    assert Remote(f"{s3}/cache").listing() == {}


def test_an_absent_bucket_is_one_message_and_exit_code_2(
    s3: str, robeval: Command, machine: Callable[[str], None]
) -> None:
    """For a run before anything is computed, for a report, and for another experiment at the same place."""
    machine("here")
    code, _, err = ran(robeval, f"{s3}-absent/run")
    assert code == 2
    assert "bucket" in err
    assert "Traceback" not in err
    code, _, err = robeval("report", f"{s3}-absent/run")
    assert code == 2
    assert f"{s3}-absent/run" in err
    code, _, err = robeval("report", f"{s3}/nothing")
    assert code == 2
    assert "no run at" in err
    code, _, err = ran(robeval, "s4://bucket/run")
    assert code == 2
    assert "no such protocol 's4'" in err


def test_wrong_credentials_are_one_message_and_exit_code_2(
    s3: str, robeval: Command, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of the store says what to look at."""
    import s3fs

    async def refused(self: object, *words: object, **more: object) -> object:
        raise PermissionError("Access Denied")

    machine("here")
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", refused)
    for words in (["report", f"{s3}/run"], ["run", "linear", "--plugin", str(LINEAR), "--out", f"{s3}/run"]):
        code, _, err = robeval(*words)
        assert code == 2
        assert "Access Denied" in err
        assert "credentials" in err


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_workers_write_to_the_url_themselves(
    s3: str,
    robeval: Command,
    machine: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    executor: str,
) -> None:
    """Several workers, run and cache at URLs: the figures of a local run, and all of it is there."""
    if executor == "ray":
        pytest.importorskip("ray", reason="needs the extra ray")
    machine("local")
    code, local, err = ran(robeval, "run")
    assert code == 0, err
    machine("main")
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", f"{s3}/cache")
    code, out, err = ran(robeval, f"{s3}/run", "--executor", executor, "--jobs", "2")
    assert code == 0, err
    assert figures(out) == figures(local)
    machine("other")
    code, out, err = robeval("report", f"{s3}/run", "-f", "json")
    assert figures(out) == figures(local)
    names = [name.split("/")[0] for name in Remote(f"{s3}/run").listing()]
    assert (names.count("cells"), names.count("examples"), names.count("chunks")) == (2, 2, 0)
