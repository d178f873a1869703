"""The cache never gives back what was not put in whole."""

from pathlib import Path

import pytest

from robeval.engine.cache import Cache, cache_directory, content_key


def test_an_entry_comes_back_as_it_was_put(tmp_path: Path) -> None:
    """All files of an entry are there under its key."""
    cache = Cache(tmp_path)
    cache.put("cells", "abcd", {"a.bin": b"1", "b.bin": b"2"})
    entry = cache.find("cells", "abcd")
    assert entry is not None
    assert (entry / "b.bin").read_bytes() == b"2"
    assert cache.find("cells", "ffff") is None


@pytest.mark.parametrize("damage", ["change", "cut", "remove", "manifest"])
def test_a_damaged_entry_is_removed(tmp_path: Path, damage: str) -> None:
    """Changed, cut or missing bytes make an entry disappear instead of being used."""
    cache = Cache(tmp_path)
    folder = cache.put("cells", "abcd", {"a.bin": b"12345"})
    if damage == "change":
        (folder / "a.bin").write_bytes(b"12346")
    if damage == "cut":
        (folder / "a.bin").write_bytes(b"12")
    if damage == "remove":
        (folder / "a.bin").unlink()
    if damage == "manifest":
        (folder / "checksums.json").write_text('{"a.bin": ')
    assert cache.find("cells", "abcd") is None
    assert not folder.exists()


def test_a_half_written_entry_is_not_an_entry(tmp_path: Path) -> None:
    """What a kill leaves beside an entry is never found."""
    cache = Cache(tmp_path)
    beside = tmp_path / "cells" / "ab" / ".abcd.1234.part"
    beside.mkdir(parents=True)
    (beside / "a.bin").write_bytes(b"1")
    assert cache.find("cells", "abcd") is None


def test_putting_again_replaces(tmp_path: Path) -> None:
    """The last put wins, whole."""
    cache = Cache(tmp_path)
    cache.put("cells", "abcd", {"a.bin": b"1"})
    cache.put("cells", "abcd", {"a.bin": b"2"})
    entry = cache.find("cells", "abcd")
    assert entry is not None
    assert (entry / "a.bin").read_bytes() == b"2"


def test_fresh_ignores_what_is_there(tmp_path: Path) -> None:
    """--fresh finds nothing."""
    Cache(tmp_path).put("cells", "abcd", {"a.bin": b"1"})
    assert Cache(tmp_path, fresh=True).find("cells", "abcd") is None


def test_keys_depend_on_every_part() -> None:
    """A key changes with its kind and each value, not with the order of names."""
    key = content_key("cell", {"a": 1, "b": [2]})
    assert key == content_key("cell", {"b": [2], "a": 1})
    assert len({key, content_key("cell", {"a": 1, "b": [3]}), content_key("victim", {"a": 1, "b": [2]})}) == 3


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ROBEVAL_CACHE_DIR wins over the user's cache folder."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path))
    assert cache_directory() == tmp_path
