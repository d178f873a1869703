"""A victim is trained, recorded, weakened and checked, as a team would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLEAN = "clean vs none on guarded (twofold)"
WORST = "worst <= 0.5 vs none on guarded (twofold)"
WEAKENED = ("--plugin", "room.py", "--plugin", "weak/model.py")


@pytest.fixture
def recorded(room: Callable[[int], Path], shell: Callable[..., Any]) -> Callable[[int], Path]:
    """A project with a baseline of its robustly trained victim."""

    def made(seed: int) -> Path:
        folder = room(seed)
        assert shell("run", "experiment.yaml", "--out", "runs/first", "-q").code == 0
        assert shell("baseline", "runs/first").code == 0
        return folder

    return made


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_unchanged_holds_and_what_lost_its_robust_training_fails(
    recorded: Callable[[int], Path], shell: Callable[..., Any], seed: int
) -> None:
    """Trained anew the same victim passes; without robust training the attacked cell alone is named, exit 1."""
    folder = recorded(seed)
    unchanged = shell("check", "experiment.yaml", "--fresh", "--out", "runs/again", "-q")
    assert unchanged.code == 0, unchanged.out
    assert "held: 2 cells" in unchanged.out
    weakened = shell("check", "experiment.yaml", *WEAKENED, "--json", "verdict.json", "-q")
    assert weakened.code == 1
    verdict = json.loads((folder / "verdict.json").read_text())
    states = {cell["cell"]: cell["state"] for cell in verdict["cells"]}
    assert states[WORST] == "regressed"
    assert states[CLEAN] in ("improved", "held", "uncertain")
    assert f"regressed: {WORST}: accuracy was" in weakened.out
    assert [change["what"] for change in verdict["changes"]] == ["victim guarded"]
    assert "the victim guarded is not what it was" in weakened.err


def test_the_baseline_carries_its_experiment(
    recorded: Callable[[int], Path], shell: Callable[..., Any]
) -> None:
    """Without an experiment file the recorded one is run."""
    (recorded(0) / "experiment.yaml").unlink()
    said = shell("check", "-q")
    assert said.code == 0
    assert WORST in said.out


def test_recording_again_changes_no_byte(recorded: Callable[[int], Path], shell: Callable[..., Any]) -> None:
    """The same figures from a fresh run give the same two files, so a diff shows what moved and nothing else."""
    folder = recorded(0)
    names = ("robeval-baseline.json", "robeval-baseline.parquet")
    before = [(folder / name).read_bytes() for name in names]
    shell("run", "experiment.yaml", "--out", "runs/second", "--fresh", "-q")
    assert shell("baseline", "runs/second").code == 0
    assert [(folder / name).read_bytes() for name in names] == before


def test_changed_data_is_told_and_needs_a_word(
    recorded: Callable[[int], Path], shell: Callable[..., Any]
) -> None:
    """Other examples under the same names compare with nothing: exit 3, and a judgement with --allow-changed."""
    folder = recorded(0)
    (folder / "weak" / "room.py").write_text(
        (folder / "room.py").read_text().replace('child("twofold")', 'child("other")')
    )
    words = ("check", "--plugin", "weak/room.py", "--plugin", "model.py", "-q")
    refused = shell(*words)
    assert refused.code == 3
    assert "the dataset twofold is not what it was" in refused.err
    assert f"changed: {WORST}" in refused.out
    assert "--allow-changed" in refused.out
    allowed = shell(*words, "--allow-changed")
    assert allowed.code in (0, 1)
    assert "(compared all the same)" in allowed.out


def test_a_moved_project_has_the_fingerprints_that_it_had(
    recorded: Callable[[int], Path],
    shell: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A checkout in another folder is the same project."""
    recorded(0).rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = shell("check", "-q")
    assert said.code == 0, said.out + said.err
    assert "is not what it was" not in said.err
