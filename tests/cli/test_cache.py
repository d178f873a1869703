"""`robeval cache`: what is kept can be counted, checked and given away, also while a run is at work."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robeval.engine.cache import Cache

Run = Callable[..., Any]
DAY_S = 86400.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Three entries: a victim of 3 MiB used 40 days ago, one of 1 MiB used 2 days ago, a small cell of today."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    made = Cache(tmp_path / "cache")
    for kind, key, size, days in (
        ("victims", "aa01", 3 * 2**20, 40),
        ("victims", "bb02", 2**20, 2),
        ("cells", "cc03", 1000, 0),
    ):
        folder = made.put(kind, key, {"content": bytes(size)})
        then = time.time() - days * DAY_S
        os.utime(folder, (then, then))
    return made


def keys(cache: Cache) -> set[str]:
    """The keys of the entries that are there."""
    return {folder.name for folder in cache.folder.glob("*/??/*") if folder.is_dir()}


def test_info_counts_entries_by_kind(robeval: Run, cache: Cache) -> None:
    """Folder, entries, sizes and ages."""
    out = robeval("cache", "info").out
    assert f"{cache.folder}: 3 entries, 4.0 MiB" in out
    assert "victims: 2 entries, 4.0 MiB, last used 2 days, 0:00:00 to 40 days" in out
    assert "cells: 1 entry, 0.0 MiB" in out


def test_info_as_json_is_for_programs(robeval: Run, cache: Cache) -> None:
    """One document with counts and bytes."""
    document = json.loads(robeval("cache", "info", "--json").out)
    assert document["folder"] == str(cache.folder)
    assert document["kinds"]["victims"]["entries"] == 2
    assert document["kinds"]["cells"]["bytes"] > 1000


def test_an_empty_cache_is_fine(robeval: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is there yet, nothing is made."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "nothing"))
    assert "0 entries" in robeval("cache", "info").out
    assert robeval("cache", "verify").code == 0
    assert robeval("cache", "prune", "--all").code == 0
    assert not (tmp_path / "nothing").exists()


def test_verify_names_what_is_damaged(robeval: Run, cache: Cache) -> None:
    """One flipped byte, and one lost file, give exit code 3 and the folders; a sound cache gives 0."""
    assert robeval("cache", "verify").out == "3 of 3 entries are intact\n"
    content = cache.entry("victims", "bb02") / "content"
    content.write_bytes(b"\1" + content.read_bytes()[1:])
    (cache.entry("cells", "cc03") / "content").unlink()
    outcome = robeval("cache", "verify")
    assert outcome.code == 3
    assert f"damaged: {cache.entry('victims', 'bb02')}" in outcome.out
    assert f"damaged: {cache.entry('cells', 'cc03')}" in outcome.out
    assert "1 of 3 entries are intact" in outcome.out
    assert "prune --damaged" in outcome.err
    assert robeval("cache", "prune", "--damaged").code == 0
    assert keys(cache) == {"aa01"}


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--older-than", "30d"], {"bb02", "cc03"}),
        (["--older-than", "24h"], {"cc03"}),
        (["--larger-than", "2MB"], {"bb02", "cc03"}),
        (["--older-than", "1d", "--larger-than", "2MiB"], {"bb02", "cc03"}),
        (["--keep", "2MiB"], {"bb02", "cc03"}),
        (["--keep", "1GB"], {"aa01", "bb02", "cc03"}),
        (["--keep", "0"], set()),
        (["--all"], set()),
    ],
)
def test_prune_removes_what_fits_every_condition(
    robeval: Run, cache: Cache, words: list[str], left: set[str]
) -> None:
    """By age, by size, or the least recently used; a dry run says the same and removes nothing."""
    before = keys(cache)
    planned = robeval("cache", "prune", *words, "--dry-run")
    assert keys(cache) == before
    assert planned.out.startswith(f"would remove {len(before - left)} entr")
    assert robeval("cache", "prune", *words).code == 0
    assert keys(cache) == left


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what may go"),
        (["--older-than", "old"], "'old' is no age"),
        (["--older-than", "-3d"], "'-3d' is no age"),
        (["--larger-than", "big"], "'big' is no size"),
        (["--larger-than", "3 parsecs"], "is no size"),
        (["--all", "--older-than", "1d"], "--all removes everything"),
    ],
)
def test_prune_asks_again_when_it_is_not_clear(
    robeval: Run, cache: Cache, words: list[str], said: str
) -> None:
    """Nothing is removed by a mistyped command."""
    outcome = robeval("cache", "prune", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(keys(cache)) == 3


def test_prune_leaves_what_a_run_is_using(robeval: Run, cache: Cache) -> None:
    """An entry whose lock is held stays, whole, and is counted."""
    with cache.lock("victim", "aa01"):
        outcome = robeval("cache", "prune", "--all")
    assert "removed 2 entries" in outcome.out
    assert "1 in use stay" in outcome.out
    assert cache.find("victims", "aa01") is not None


def test_half_written_entries_go_only_when_nobody_can_be_writing_them(robeval: Run, cache: Cache) -> None:
    """What a killed process left goes after an hour; a fresh one may be in the making."""
    parts = [cache.folder / "cells" / "dd" / f".dd{n}.{n}.part" for n in range(2)]
    for part in parts:
        part.mkdir(parents=True)
        (part / "content").write_bytes(b"half")
    then = time.time() - 2 * 3600
    os.utime(parts[0], (then, then))
    assert "3 of 3 entries are intact" in robeval("cache", "verify").out
    robeval("cache", "prune", "--all")
    assert [part.exists() for part in parts] == [False, True]


def test_an_entry_that_was_of_use_counts_as_young(robeval: Run, cache: Cache) -> None:
    """Age is counted from the last use, not from when an entry was made."""
    assert cache.find("victims", "aa01") is not None
    robeval("cache", "prune", "--older-than", "1d")
    assert keys(cache) == {"aa01", "cc03"}
