"""Cells in processes of their own: the same figures, and a killed worker costs nothing but time."""

import os
from pathlib import Path

import pytest

from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import Outcome, run
from robeval.plugins.discovery import discover
from robeval.results.records import CellRecord

GUEST = '''
import os
import signal
from dataclasses import dataclass

from robeval.testing.linear import FittedLine, RandomCorner, register as linear


@dataclass(frozen=True)
class Deadly(RandomCorner):
    """Kills its process, the first time or always."""

    always: bool = False

    def perturb(self, view, batch, budget, draw):
        mark = os.environ["DEADLY_MARK"]
        if self.always or not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().perturb(view, batch, budget, draw)


class Fragile(FittedLine):
    """Sends its process SIGTERM in the middle of a training, the first time."""

    def loss(self, batch):
        mark = os.environ["DEADLY_MARK"]
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(batch)


def register(registry):
    linear(registry)
    registry.victim("linear/fragile", Fragile)
    registry.attack("linear/deadly", Deadly)
'''


class Listening(Watcher):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def executed(tmp_path: Path, executor: str, watcher: Watcher | None = None, **fields: object) -> Outcome:
    """A run of the closed-form domain from a plugin file, with a cache of its own."""
    guest = tmp_path / "guest.py"
    guest.write_text(GUEST)
    experiment = build_experiment(
        domain="linear",
        plugins=str(guest),
        execution={"executor": executor, "jobs": 2, "accelerator": "cpu", "batch_size": 20},
        **fields,
    )
    plan = make_plan(experiment, discover([guest]))
    return run(
        plan,
        tmp_path / executor,
        Cache(tmp_path / f"cache-{executor}"),
        watcher or Watcher(),
        command="robeval run",
    )


def comparable(record: CellRecord) -> dict[str, object]:
    """All of a record but what depends on the clock."""
    clock = {"seconds", "overhead", "bare_seconds", "prepared_seconds"}
    content = record.model_dump()
    for part in ("cost", "observed"):
        content[part] = {name: value for name, value in content[part].items() if name not in clock}
    return content


def test_figures_are_those_of_a_local_run_bit_for_bit(tmp_path: Path) -> None:
    """Trained victims, attacks, a worst-of row and per-example tables agree to the last bit, in plan order."""
    fields = {
        "victims": ("line", "fitted-line"),
        "attacks": ("none", "steps", "random-corner"),
        "worst_of": True,
    }
    local, beside = (executed(tmp_path, name, **fields) for name in ("local", "processes"))
    assert [comparable(record) for record in local.records] == [
        comparable(record) for record in beside.records
    ]
    for record in local.records:
        name = f"examples/{record.id}.parquet"
        assert (local.folder / name).read_bytes() == (beside.folder / name).read_bytes()


def test_the_second_run_needs_no_worker(tmp_path: Path) -> None:
    """What workers made is found by the main process, though they have journals of their own."""
    executed(tmp_path, "processes", attacks=("none", "steps"))
    again = executed(tmp_path, "processes", attacks=("none", "steps"))
    assert again.from_cache == len(again.records) == 2


@pytest.mark.parametrize(("attack", "status"), [("deadly", "done"), ("deadly:always=true", "failed")])
def test_a_killed_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, status: str) -> None:
    """Its cell is tried once more, then failed with the signal's name; the other cells are done either way."""
    monkeypatch.setenv("DEADLY_MARK", str(tmp_path / "mark"))
    outcome = executed(tmp_path, "processes", attacks=("none", attack, "random-corner"))
    assert [record.status for record in outcome.records] == ["done", status, "done"]
    assert ("SIGKILL" in (outcome.records[1].error or "")) == (status == "failed")
    assert outcome.exit_code(strict=False) == (3 if status == "failed" else 0)
    assert os.path.exists(tmp_path / "mark")


def test_a_worker_that_is_told_to_end_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning alone would fail the training and let the worker go on; so another worker trains."""
    monkeypatch.setenv("DEADLY_MARK", str(tmp_path / "mark"))
    watcher = Listening()
    outcome = executed(
        tmp_path, "processes", watcher, victims=("fragile",), attacks=("none", "random-corner")
    )
    assert [record.status for record in outcome.records] == ["done", "done"]
    assert os.path.exists(tmp_path / "mark")
    assert watcher.said == ["trained victim fragile (seed 0)"]
