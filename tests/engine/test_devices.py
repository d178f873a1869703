"""A cell on two devices gives the records of a cell on one, and a device that dies fails its cell only."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robeval.engine.cache import Cache
from robeval.engine.devices import check_devices, device_seconds
from robeval.engine.experiment import Execution, build_experiment
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import Outcome, run
from robeval.errors import UsageError
from robeval.plugins.discovery import discover
from robeval.results.store import Rows, RunFolder

GUEST = '''
"""The linear domain with attacks that learn first, break, die or never end."""

import os, signal, time
from dataclasses import dataclass
from pathlib import Path

from robeval import Attack
from robeval.plugins.contracts import Preparation
from robeval.plugins.threat import Budget, ThreatModel
from robeval.testing import linear

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ask(Preparation):
    """Asks sixteen training points."""

    @property
    def queries(self):
        return 32

    def __call__(self, view, data, seed):
        return view(data.split("train").select(slice(0, 16))).mean()


@dataclass(frozen=True)
class Learner(Attack):
    """A corner that depends on what was learnt.

    Source: a test.
    """

    threat = ThreatModel("score", Budget("distance", "", 0.5, unbounded=200.0))

    @property
    def preparation(self):
        return Ask()

    def perturb(self, view, batch, budget, draw):
        side = 2.0 * draw.coin(0.5, 2) - 1.0
        return batch.replace(point=batch.point + budget * side * view.prepared.sign())


@dataclass(frozen=True)
class Moody(linear.RandomCorner):
    """A random corner, except when it is told otherwise.

    Source: a test.
    """

    mood: str = "kind"

    def perturb(self, view, batch, budget, draw):
        told = (HERE / "mood.txt").read_text() if (HERE / "mood.txt").exists() else ""
        if self.mood in told and "test-5" in batch.ids:
            if self.mood == "deadly":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.mood == "endless":
                time.sleep(600)
            raise ValueError("point 5 is not to my taste")
        return super().perturb(view, batch, budget, draw)


def register(registry):
    linear.register(registry)
    registry.attack("linear/learner", Learner)
    registry.attack("linear/moody", Moody)
'''
Spread = Callable[..., Outcome]


@pytest.fixture
def spread(tmp_path: Path) -> Spread:
    """Runs an experiment of the linear domain on some devices, each run with a cache of its own unless named."""
    guest = tmp_path / "guest.py"
    guest.write_text(GUEST)

    def executed(devices: int, out: str, execution: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        experiment = build_experiment(
            domain="linear",
            plugins=str(guest),
            execution={"accelerator": "cpu", "devices": devices, "batch_size": 2} | (execution or {}),
            **fields,
        )
        cache = Cache(tmp_path / f"cache-{out}")
        plan = make_plan(experiment, discover([guest]))
        return run(plan, tmp_path / out, cache, Watcher(), command="robeval run linear")

    return executed


def assert_same(mine: Outcome, theirs: Outcome) -> None:
    """Records, per-example tables and adversarial points agree bit for bit."""
    for ours, others in zip(mine.records, theirs.records, strict=True):
        assert (ours.status, ours.error) == ("done", None)
        costs = [
            record.cost.model_dump(exclude={"seconds", "overhead", "prepared_seconds"})
            for record in (ours, others)
        ]
        assert costs[0] == costs[1]
        for name in ("id", "n", "invalid", "metrics", "groups", "verdict", "notes"):
            assert getattr(ours, name) == getattr(others, name), (ours.attack, name)
        rows, expected = (RunFolder(outcome.folder).rows(ours.id) for outcome in (mine, theirs))
        assert rows.texts == expected.texts
        assert rows.columns.keys() == expected.columns.keys()
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(rows.columns[name], column, err_msg=f"{ours.attack} {name}")
        assert rows.adversarial.keys() == expected.adversarial.keys()
        for name, value in expected.adversarial.items():
            np.testing.assert_array_equal(rows.adversarial[name], value)


def assert_nothing_left(outcome: Outcome) -> None:
    """No process, no chunk."""
    assert multiprocessing.active_children() == []
    assert list((outcome.folder / "chunks").glob("*")) == []


def test_two_devices_give_the_records_of_one(spread: Spread) -> None:
    """Seven examples in batches of two, an uneven share for each: same rows in the same order, costs counted once."""
    attacks = ("none", "worst", "random-search", "worst:surrogate=fitted-line", "learner")
    fields: dict[str, Any] = {
        "attacks": attacks,
        "victims": "fitted-line",
        "max_examples": 7,
        "worst_of": True,
    }
    one, two = spread(1, "one", **fields), spread(2, "two", **fields)
    assert_same(two, one)
    assert_nothing_left(two)
    worst = next(record for record in two.records if record.attack == "worst")
    assert worst.observed["device_seconds"] >= worst.observed["seconds"] > 0
    (learner,) = (record for record in two.records if record.attack == "learner")
    assert learner.cost.prepared_queries == 16


def test_fewer_examples_than_devices(spread: Spread) -> None:
    """Three examples for four devices, two of a batch: nobody makes one up."""
    one = spread(1, "one", attacks="steps", max_examples=3)
    four = spread(4, "four", attacks="steps", max_examples=3)
    assert_same(four, one)
    assert four.records[0].n == 3


def test_a_batch_larger_than_a_share_is_dealt_out(spread: Spread) -> None:
    """All examples would fit one batch; each device still gets half of them."""
    fields: dict[str, Any] = {"attacks": "worst", "max_examples": 9, "execution": {"batch_size": 128}}
    one, two = spread(1, "one", **fields), spread(2, "two", **fields)
    assert_same(two, one)
    assert two.records[0].observed["calls"] == 2


def test_a_dead_device_fails_its_cell_and_no_other(spread: Spread, tmp_path: Path) -> None:
    """The signal is named; the other cell is done; run again, the cell resumes to the records of an undisturbed run."""
    fields: dict[str, Any] = {"attacks": ("none", "moody:mood=deadly"), "datasets": "points:count=7"}
    calm = spread(1, "calm", **fields)
    (tmp_path / "mood.txt").write_text("deadly")
    disturbed = spread(2, "two", **fields)
    assert [record.status for record in disturbed.records] == ["done", "failed"]
    assert "killed by SIGKILL" in (disturbed.records[1].error or "")
    assert multiprocessing.active_children() == []
    (tmp_path / "mood.txt").unlink()
    assert_same(spread(2, "two", **fields), calm)


def test_an_error_on_a_device_is_told_in_one_line(spread: Spread, tmp_path: Path) -> None:
    """What was raised, where, and on which device."""
    (tmp_path / "mood.txt").write_text("picky")
    failed = spread(2, "two", attacks="moody:mood=picky", datasets="points:count=7").records[0]
    assert failed.status == "failed"
    error = failed.error or ""
    assert error.startswith("on device ")
    assert "ValueError: point 5 is not to my taste (at guest.py:" in error
    assert "\n" not in error


def test_a_device_that_never_ends_is_stopped(spread: Spread, tmp_path: Path) -> None:
    """The time limit of a cell holds for all its devices, and leaves no process behind."""
    (tmp_path / "mood.txt").write_text("endless")
    execution = {"cell_timeout": 12.0}
    outcome = spread(2, "two", attacks="moody:mood=endless", datasets="points:count=7", execution=execution)
    assert outcome.records[0].status == "failed"
    assert "took longer than --cell-timeout 12 s" in (outcome.records[0].error or "")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("devices", [0, -1, "many", "1.5"])
def test_devices_that_are_no_number_are_refused(devices: int | str) -> None:
    """A usage error that names the value."""
    with pytest.raises(UsageError, match=rf"--devices {devices}: give a number of devices"):
        check_devices(Execution(devices=devices, accelerator="cpu"))


def test_devices_and_workers_exclude_each_other() -> None:
    """Either cells are spread, or each cell is."""
    with pytest.raises(UsageError, match="choose one of them"):
        check_devices(Execution(devices=2, executor="processes"))


def test_wall_seconds_are_those_of_the_busiest_device() -> None:
    """Three and five seconds side by side, one before: six by the clock, nine in all."""
    seen = {"seconds": 9.0, "seconds_on_device_0": 3.0, "seconds_on_device_1": 5.0, "forward": 4.0}
    rows = device_seconds(Rows({"example": []}, {}, {}, seen))
    assert rows.observed == {"forward": 4.0, "seconds": 6.0, "device_seconds": 9.0}
