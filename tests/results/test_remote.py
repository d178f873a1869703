"""Objects at a URL, on every kind of store."""

import sys
from importlib import import_module

import pytest

from robeval.errors import MissingExtra, StoreError, UsageError
from robeval.results.remote import Remote


def test_objects_come_back_as_they_were_put(remote: Remote) -> None:
    """Written, listed by name and size, replaced, read, and removed; the absent is None, not an error."""
    assert remote.listing() == {}
    assert remote.read("cells/a.json") is None
    remote.write("cells/a.json", b"1")
    remote.write("b.bin", b"22")
    assert {name: found.size for name, found in remote.listing().items()} == {"cells/a.json": 1, "b.bin": 2}
    assert set(remote.listing("cells")) == {"cells/a.json"}
    remote.write("b.bin", b"333")
    assert dict(remote.read_many(["b.bin", "cells/a.json", "nothing"])) == {
        "b.bin": b"333", "cells/a.json": b"1", "nothing": None,
    }  # fmt: skip
    remote.remove(["b.bin", "nothing"])
    assert set(remote.listing()) == {"cells/a.json"}


def test_a_change_of_the_same_size_changes_the_token(remote: Remote) -> None:
    """A mirror must notice it; and an object that stays keeps its token."""
    remote.write("a", b"1")
    before = remote.about("a")
    assert before is not None
    assert remote.listing()["a"].token == before.token
    remote.write("a", b"2")
    after = remote.about("a")
    assert after is not None
    assert after.token != before.token


def test_creating_never_replaces(remote: Remote) -> None:
    """The second who creates is told, and the first one's content stays."""
    assert remote.create("lease", b"first")
    assert not remote.create("lease", b"second")
    assert remote.read("lease") == b"first"


def test_half_written_objects_are_not_listed(remote: Remote) -> None:
    """What begins with a dot is not part of a run."""
    remote.write(".a.1234.part", b"1")
    assert remote.listing() == {}


def test_an_unknown_protocol_names_its_neighbours() -> None:
    """A typing error is answered like any other."""
    with pytest.raises(UsageError, match=r"no such protocol 's4'.*s3"):
        Remote("s4://bucket/run").check()


def test_an_absent_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """For S3 our extra, for others the package that failed to import."""
    known = import_module("fsspec.registry")
    for module in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, module, None)
    for protocol in ("s3", "gs"):
        monkeypatch.delitem(known._registry, protocol, raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'robeval\[s3\]'"):
        Remote("s3://bucket/run").check()
    with pytest.raises(MissingExtra, match="pip install gcsfs"):
        Remote("gs://bucket/run").check()


def test_an_absent_bucket_is_said_in_one_sentence(s3: str) -> None:
    """Nothing is created, and the message says what to look at."""
    with pytest.raises(StoreError, match="bucket") as caught:
        Remote(f"{s3}-absent/run").write("a", b"1")
    assert "\n" not in str(caught.value)
