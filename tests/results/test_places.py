"""Runs at a URL: the mirror here, the truth there, and nothing lost between them."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest

from robeval.errors import UsageError
from robeval.results import store
from robeval.results.audit import AuditRecord, read_audit, write_audit
from robeval.results.files import checksum
from robeval.results.places import Mirror, is_url, local_folder, mirror_at, mirror_of, shown
from robeval.results.reading import brought
from robeval.results.records import BudgetRecord, CellRecord, Cost
from robeval.results.remote import Remote
from robeval.results.store import Rows, RunFolder

EXPERIMENT = {"domain": "linear"}


def rows(*names: str) -> Rows:
    """Outcomes of some examples."""
    texts = {"example": names, "cluster": names, "group": names, "status": ["ok"] * len(names), "note": names}
    return Rows(texts, {"x": np.ones(len(names))}, {}, {})


def record(cell: str) -> CellRecord:
    """A finished cell."""
    return CellRecord(
        id=cell, domain="d", dataset="s", victim="v", attack="a", defense="none", knowledge="adaptive",
        budget=BudgetRecord(name="b", unit="", value=1), seed=0, n=1, invalid=0, status="done", metrics={},
        cost=Cost(forward=0, backward=0, queries=0, seconds=0), verdict="ok", evidence=[],
    )  # fmt: skip


@pytest.fixture
def here(remote: Remote, tmp_path: Path) -> Mirror:
    """The mirror on this machine."""
    return mirror_at(remote.url, tmp_path / "here")


@pytest.fixture
def elsewhere(remote: Remote, tmp_path: Path) -> Mirror:
    """The mirror on another machine, which knows nothing but the URL."""
    return mirror_at(remote.url, tmp_path / "elsewhere")


def test_what_is_a_url_and_where_its_mirror_is() -> None:
    """A path and file:// stay what they are; any other URL has a mirror of its own, named like the run."""
    name = uuid.uuid4().hex
    assert not is_url("runs/a")
    assert local_folder("runs/a") == Path("runs/a")
    assert local_folder("file:///tmp/a") == Path("/tmp/a")
    folder = local_folder(f"memory://{name}/run/")
    assert folder.name == "run"
    assert shown(folder) == f"memory://{name}/run"
    assert shown(folder / "audit") == f"memory://{name}/run/audit"
    assert mirror_of(Path("runs/a")) is None
    assert local_folder(f"memory://{name}/other").parent != folder.parent


def test_another_machine_resumes(here: Mirror, elsewhere: Mirror) -> None:
    """It finds finished cells and chunks of unfinished ones, and a cell's chunks go when it is finished."""
    first = RunFolder(here.folder)
    with first.held():
        first.claim(EXPERIMENT)
        first.keep_chunk("done", "key", 0, rows("a"))
        first.keep_cell("key", record("done"), {"parquet": rows("a").to_parquet()})
        first.keep_chunk("half", "key", 0, rows("b"))
    second = RunFolder(elsewhere.folder)
    assert second.finished("done", "key") is None
    with second.held():
        second.claim(EXPERIMENT)
        assert second.finished("done", "key") == record("done")
        assert second.rows("done").texts["example"] == ["a"]
        half = second.chunk("half", "key", 0)
        assert half is not None
        assert list(half.texts["example"]) == ["b"]
        assert second.chunk("done", "key", 0) is None
        second.keep_cell("key", record("half"), {"parquet": rows("b").to_parquet()})
    assert {name.split("/")[0] for name in here.remote.listing()} == {
        "experiment.json", "cells", "examples", *(n for n in here.remote.listing() if n.startswith("journal")),
    }  # fmt: skip
    third = RunFolder(here.folder)
    with third.held():
        assert third.finished("half", "key") == record("half")


def test_the_url_is_the_truth(here: Mirror, elsewhere: Mirror) -> None:
    """What a mirror holds beyond the URL is gone after it was brought up to date; what changed there has changed."""
    with RunFolder(here.folder).held():
        (here.folder / "stray.json").write_text("1")
    elsewhere.remote.write("a.json", b"1")
    here.update()
    assert not (here.folder / "stray.json").exists()
    assert (here.folder / "a.json").read_bytes() == b"1"
    elsewhere.remote.write("a.json", b"2")
    mirror_at(here.remote.url, here.folder.parents[1]).update()
    assert (here.folder / "a.json").read_bytes() == b"2"


def test_only_what_changed_is_fetched(here: Mirror, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of finished cells are not fetched again by the machine that wrote them."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet()})
    asked: list[str] = []
    read = Remote.read
    monkeypatch.setattr(Remote, "read", lambda self, name: (asked.append(name), read(self, name))[1])
    mirror_at(remote.url, here.folder.parents[1]).update()
    assert not [name for name in asked if name.startswith(("cells", "examples"))]


def test_a_long_journal_is_continued_in_another_object(
    here: Mirror, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is written more often than a segment is long, and none is lost at the seams."""
    monkeypatch.setattr(store, "SEGMENT_BYTES", 600)
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        for number in range(9):
            folder.keep_cell("key", record(f"c{number}"), {})
    journals = [name for name in here.remote.listing() if name.startswith("journal")]
    assert len(journals) >= 3
    other = RunFolder(elsewhere.folder)
    with other.held():
        assert all(other.finished(f"c{number}", "key") for number in range(9))


def test_fresh_forgets_at_the_url_too(here: Mirror, elsewhere: Mirror) -> None:
    """Another machine finds nothing of the run before."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet()})
        folder.claim({"domain": "other"}, fresh=True)
    other = RunFolder(elsewhere.folder)
    with other.held():
        other.claim({"domain": "other"})
        assert other.finished("c", "key") is None
    assert set(here.remote.listing()) == {"experiment.json"}


def test_a_run_at_a_url_is_one_experiments(here: Mirror, elsewhere: Mirror) -> None:
    """Another experiment, or a place that holds something else, is refused by its URL."""
    with RunFolder(here.folder).held():
        RunFolder(here.folder).claim(EXPERIMENT)
    with RunFolder(elsewhere.folder).held(), pytest.raises(UsageError, match="another experiment") as caught:
        RunFolder(elsewhere.folder).claim({"domain": "other"})
    assert here.remote.url in str(caught.value)
    here.remote.remove(["experiment.json"])
    here.remote.write("thesis.tex", b"1")
    with RunFolder(elsewhere.folder).held(), pytest.raises(UsageError, match="not a run folder"):
        RunFolder(elsewhere.folder).claim(EXPERIMENT)


def test_a_reader_leaves_tensors_there_until_they_are_asked_for(here: Mirror, elsewhere: Mirror) -> None:
    """A report needs none; whoever asks for a finished cell gets all of its files. A local URL is read in place."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet(), "safetensors": b"123"})
    found = brought(here.remote.url)
    assert (found / "artifacts").exists() == here.remote.url.startswith("file")
    assert RunFolder(found).finished("c", "key") == record("c")
    assert (found / "artifacts/c.safetensors").read_bytes() == b"123"


def test_a_damaged_object_is_not_believed(here: Mirror, elsewhere: Mirror) -> None:
    """A cell whose table was cut at the URL is not finished."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet()})
    here.remote.write("examples/c.parquet", b"cut")
    other = RunFolder(elsewhere.folder)
    with other.held():
        assert other.finished("c", "key") is None


def test_an_event_of_another_machine_brings_its_files(here: Mirror, elsewhere: Mirror) -> None:
    """The main process can read what a worker elsewhere has written."""
    main, worker = RunFolder(here.folder), RunFolder(elsewhere.folder, writer=3)
    worker.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet()})
    event = worker.event("c")
    assert event is not None
    main.adopt(event)
    assert main.finished("c", "key") == record("c")


def test_an_audit_is_sent(here: Mirror, elsewhere: Mirror) -> None:
    """audit.json is at the URL when it is written."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
    write_audit(here.folder, AuditRecord(checks=[], examples=1, seconds=0.0, entries=[]))
    elsewhere.update()
    assert read_audit(elsewhere.folder) is not None


def test_a_mirror_may_be_deleted(here: Mirror) -> None:
    """It is made again from the URL, notes and all."""
    import shutil

    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {})
    shutil.rmtree(here.folder.parent)
    again = RunFolder(mirror_at(here.remote.url, here.folder.parents[1]).folder)
    with again.held():
        assert again.finished("c", "key") == record("c")


def test_names_at_the_url_are_those_of_the_folder(here: Mirror) -> None:
    """Whoever copies the objects has an ordinary run folder."""
    folder = RunFolder(here.folder)
    with folder.held():
        folder.claim(EXPERIMENT)
        folder.keep_cell("key", record("c"), {"parquet": rows("a").to_parquet()})
    assert json.loads(here.remote.read("experiment.json") or b"") == EXPERIMENT
    content = here.remote.read("examples/c.parquet")
    assert content is not None
    assert checksum(content) == checksum((here.folder / "examples/c.parquet").read_bytes())
