"""A cache at a URL: this machine first, then the URL; nothing damaged is used wherever it lies."""

import os
import uuid
from pathlib import Path

import pytest

from robeval.engine.cache import MANIFEST, Cache, archive_name, cache_directory
from robeval.results.archive import pack, unpack
from robeval.results.places import mirror_at
from robeval.results.remote import Remote


@pytest.fixture
def url() -> str:
    """An empty place in memory."""
    return f"memory://{uuid.uuid4().hex}/cache"


def machine(url: str, home: Path, since: float = 0.0) -> Cache:
    """The cache as one machine sees it."""
    return Cache(mirror_at(url, home).folder, since=since)


def test_what_one_machine_made_another_finds(url: str, tmp_path: Path) -> None:
    """Every file of the entry, unpacked there and checked; an absent key is absent."""
    machine(url, tmp_path / "a").put("cells", "abcd", {"a.bin": b"1", "b.bin": b"2"})
    other = machine(url, tmp_path / "b")
    entry = other.find("cells", "abcd")
    assert entry == other.entry("cells", "abcd")
    assert {p.name: p.read_bytes() for p in entry.iterdir() if p.name != MANIFEST} == {
        "a.bin": b"1", "b.bin": b"2",
    }  # fmt: skip
    assert other.find("cells", "ffff") is None


def test_a_found_entry_is_not_fetched_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look needs no URL."""
    machine(url, tmp_path / "a").put("cells", "abcd", {"a.bin": b"1"})
    other = machine(url, tmp_path / "b")
    assert other.find("cells", "abcd") is not None
    monkeypatch.setattr(Remote, "read", lambda self, name: pytest.fail("asked again"))
    assert other.find("cells", "abcd") is not None


@pytest.mark.parametrize("damage", ["cut", "change", "empty"])
def test_a_damaged_archive_is_no_entry_and_is_replaced(url: str, tmp_path: Path, damage: str) -> None:
    """It is made again and the next put repairs it."""
    first = machine(url, tmp_path / "a")
    first.put("cells", "abcd", {"a.bin": b"12345"})
    remote, name = Remote(url), archive_name("cells", "abcd")
    content = remote.read(name) or b""
    place = content.index(b"12345")
    remote.write(
        name,
        {"cut": content[:-9], "change": content[:place] + b"9" + content[place + 1 :], "empty": b""}[damage],
    )
    other = machine(url, tmp_path / "b")
    assert other.find("cells", "abcd") is None
    other.put("cells", "abcd", {"a.bin": b"12345"})
    assert machine(url, tmp_path / "c").find("cells", "abcd") is not None


def test_a_damaged_copy_here_is_taken_from_the_url_again(url: str, tmp_path: Path) -> None:
    """The first level is only a copy."""
    cache = machine(url, tmp_path / "a")
    (cache.put("cells", "abcd", {"a.bin": b"1"}) / "a.bin").write_bytes(b"2")
    entry = cache.find("cells", "abcd")
    assert entry is not None
    assert (entry / "a.bin").read_bytes() == b"1"


def test_workers_of_a_fresh_run_ignore_what_was_there_before(url: str, tmp_path: Path) -> None:
    """An entry keeps the time at which it was made, wherever it is unpacked."""
    first = machine(url, tmp_path / "a")
    folder = first.put("cells", "abcd", {"a.bin": b"1"})
    made_s = (folder / MANIFEST).stat().st_mtime
    assert machine(url, tmp_path / "b", since=made_s + 5).find("cells", "abcd") is None
    assert machine(url, tmp_path / "c", since=made_s - 5).find("cells", "abcd") is not None


def test_an_archive_never_writes_outside_its_entry() -> None:
    """A name with a folder in it is damage."""
    assert unpack(pack({"../a": b"1"}, 0.0)) is None
    assert unpack(pack({"a": b"1"}, 2.5)) == ({"a": b"1"}, 2.5)


def test_the_same_files_give_the_same_bytes() -> None:
    """In whatever order they come."""
    assert pack({"a": b"1", "b": b"2"}, 1.0) == pack({"b": b"2", "a": b"1"}, 1.0)


def test_the_environment_may_name_a_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROBEVAL_CACHE_DIR is then the second level, and the first is in the user's cache folder."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = Cache(cache_directory())
    assert tmp_path in cache.folder.parents
    cache.put("victims", "abcd", {"a.bin": b"1"})
    assert set(Remote(url).listing()) == {archive_name("victims", "abcd")}
    assert os.listdir(tmp_path) == ["robeval"]
