"""The journal survives a kill at any byte."""

from pathlib import Path

import pytest

from robeval.results.journal import Journal


def test_events_come_back_in_order(tmp_path: Path) -> None:
    """What was appended is read in the same order."""
    journal = Journal(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.append({"kind": "chunk", "chunk": number})
    assert [event["chunk"] for event in journal.events()] == [0, 1, 2]


@pytest.mark.parametrize("left", [1, 20, 60])
def test_a_line_cut_short_is_ignored_and_the_next_one_is_not(tmp_path: Path, left: int) -> None:
    """A torn last line costs its own event only, also when the run goes on behind it."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"chunk": 0})
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:left])
    assert [event["chunk"] for event in journal.events()] == [0]
    journal.append({"chunk": 2})
    assert [event["chunk"] for event in journal.events()] == [0, 2]


def test_a_changed_line_is_ignored(tmp_path: Path) -> None:
    """A line whose content no longer fits its checksum is not believed."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"chunk": 7})
    journal.path.write_text(journal.path.read_text().replace("7", "8", 1))
    assert list(journal.events()) == []


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    """A new run has no events."""
    assert list(Journal(tmp_path / "nothing.jsonl").events()) == []
