"""What a run kept is enough to see its examples again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robeval.engine import replay
from robeval.errors import MissingFile, StoreError

Robeval = Callable[..., object]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of the linear domain."""
    from robeval.cli.shell import call

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    guest = tmp_path / "guest.py"
    guest.write_text("from robeval.testing.linear import register\n")
    words = ["run", "linear", "--plugin", str(guest), "-a", "none", "-a", "worst", "--out", "out", "--quiet"]
    assert call(words) == 0
    return tmp_path / "out"


def cell(folder: Path, attack: str) -> str:
    """The id of an attack's cell."""
    records = [json.loads(path.read_text()) for path in (folder / "cells").iterdir()]
    (found,) = [record["id"] for record in records if record["attack"] == attack]
    return str(found)


def test_a_trial_is_what_was_judged(folder: Path) -> None:
    """The same adversarial points and answers, in the order asked."""
    domain, trial = replay.trial(folder, cell(folder, "worst"), ["test-5", "test-2"])
    assert trial.clean.ids == ("test-5", "test-2")
    assert domain.spent(trial.clean, trial.adversarial)["distance"].tolist() == pytest.approx([0.5, 0.5])
    assert bool((trial.output * trial.clean.label < trial.clean_output * trial.clean.label).all())


def test_the_clean_row_is_untouched(folder: Path) -> None:
    """Without an attack the adversarial input is the clean one."""
    _, trial = replay.trial(folder, cell(folder, "none"), ["test-0"])
    assert torch.equal(trial.clean.point, trial.adversarial.point)


def test_unknown_cells_examples_and_folders_are_said(folder: Path, tmp_path: Path) -> None:
    """Each mistake names what is not there."""
    with pytest.raises(StoreError, match="no cell 'nope'"):
        replay.trial(folder, "nope", ["test-0"])
    with pytest.raises(StoreError, match="no example 'test-999'"):
        replay.trial(folder, cell(folder, "worst"), ["test-999"])
    with pytest.raises(MissingFile):
        replay.trial(tmp_path / "empty", "nope", [])


def test_another_victim_is_never_passed_off_as_the_judged_one(folder: Path) -> None:
    """After a change of code, data or weights a run's examples are not drawn on the new victim."""
    journal = folder / "journal.jsonl"
    journal.write_text("")
    replay._evaluators.clear()
    with pytest.raises(StoreError, match="other code, data or weights"):
        replay.trial(folder, cell(folder, "worst"), ["test-0"])
