"""`robeval list`: everything by name, and who is broken."""

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from robeval.plugins import discovery
from robeval.plugins.registry import KINDS

Run = Callable[..., Any]


def test_everything_is_listed_with_its_summary(robeval: Run) -> None:
    """All five kinds, full names, one line each."""
    outcome = robeval("list")
    assert outcome.code == 0
    for kind in KINDS:
        assert f"{kind}s" in outcome.out
    for entry in discovery.built_in().entries.values():
        (line,) = [
            line
            for line in outcome.out.splitlines()
            if line.split()[:1] == [entry.name] and entry.summary in line
        ]
        assert line


@pytest.mark.parametrize("word", ["attacks", "attack"])
def test_one_kind_can_be_asked_for(robeval: Run, word: str) -> None:
    """Plural or singular."""
    out = robeval("list", word).out
    assert "trajectory/noise" in out
    assert "trajectory/lstm" not in out


def test_a_domain_narrows_the_list(robeval: Run) -> None:
    """What serves every domain stays."""
    out = robeval("list", "attacks", "--domain", "trajectory").out
    assert "none" in out
    assert "trajectory/noise" in out


@pytest.mark.parametrize(
    ("words", "part"),
    [(["atacks"], "Did you mean 'attacks'?"), (["--domain", "trajectori"], "Did you mean 'trajectory'?")],
)
def test_a_misspelt_word_is_a_usage_error(robeval: Run, words: list[str], part: str) -> None:
    """With the nearest word."""
    outcome = robeval("list", *words)
    assert outcome.code == 2
    assert part in outcome.err


def test_a_guest_file_is_listed(robeval: Run, guest_file: Path) -> None:
    """`--plugin` adds to the list."""
    assert "trajectory/drift" in robeval("list", "--plugin", guest_file).out


def test_the_document_for_programs_is_complete(robeval: Run) -> None:
    """JSON holds every plugin with its place, and the broken guests."""
    document = json.loads(robeval("list", "--json").out)
    assert document["schema"] == 1
    assert document["broken"] == []
    assert len(document["plugins"]) == len(discovery.built_in().entries)
    (noise,) = [plugin for plugin in document["plugins"] if plugin["name"] == "trajectory/noise"]
    assert noise["kind"] == "attack"
    assert noise["domain"] == "trajectory"
    assert "robeval_attacks" in noise["place"]


def test_a_broken_guest_is_one_line_on_stderr(robeval: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is listed as ever, and the document says the same."""
    guest = EntryPoint("sick", "no_such_guest:register", discovery.GROUP)
    monkeypatch.setattr(discovery, "entry_points", lambda group: [guest])
    outcome = robeval("list", "attacks")
    assert outcome.code == 0
    assert "trajectory/noise" in outcome.out
    (line,) = outcome.err.splitlines()
    assert line.startswith("broken: ")
    assert "no_such_guest" in line
    (broken,) = json.loads(robeval("list", "--json").out)["broken"]
    assert "no_such_guest" in broken["reason"]
