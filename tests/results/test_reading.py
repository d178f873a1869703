"""Runs at a URL, read: one by its URL, all of a folder for the browser, and one that is being written here."""

import json
from pathlib import Path

import pytest

from robeval.errors import UsageError
from robeval.report.summary import find_run, read_run
from robeval.results.lock import held
from robeval.results.places import local_folder, mirror_at
from robeval.results.reading import brought
from robeval.results.remote import Remote
from robeval.serve.runs import bring, listed, run_folders
from tests.report.synthetic_run import write_run


def put(remote: Remote, name: str, folder: Path) -> None:
    """Copy a run folder to a URL."""
    write_run(folder, seeds=1)
    for path in folder.rglob("*"):
        if path.is_file():
            remote.write(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_a_run_is_found_by_its_url(remote: Remote, tmp_path: Path) -> None:
    """It reads as it does where it was written, and a URL without a run says so."""
    put(remote, "one", tmp_path / "one")
    assert read_run(find_run(f"{remote.url}/one")) == read_run(tmp_path / "one")
    with pytest.raises(UsageError, match=f"there is no run at {remote.url}/two"):
        find_run(f"{remote.url}/two")


def test_the_runs_under_a_url_are_listed_as_they_come(remote: Remote, tmp_path: Path) -> None:
    """What the browser shows of a folder of runs, brought up to date each time."""
    put(remote, "one", tmp_path / "one")
    home = mirror_at(remote.url, tmp_path / "home").folder
    bring(home, pictures=False)
    assert [run.name for run in listed(home)] == ["one"]
    assert not (home / "one/artifacts").exists()
    put(remote, "two", tmp_path / "two")
    bring(home, pictures=True)
    assert set(run_folders(home)) == {"one", "two"}
    remote.remove([name for name in remote.listing() if name.startswith("one/")])
    bring(home, pictures=True)
    assert set(run_folders(home)) == {"two"}


def test_a_run_that_is_being_written_here_is_ahead_of_its_url(s3: str) -> None:
    """The reader takes the mirror as it is and does not disturb the writer."""
    remote = Remote(f"{s3}/run")
    remote.write("run.json", json.dumps({"old": True}).encode())
    folder = local_folder(remote.url)
    with held(folder):
        (folder / "run.json").write_text("new")
        assert (brought(remote.url) / "run.json").read_text() == "new"
    assert json.loads((brought(remote.url) / "run.json").read_text()) == {"old": True}
