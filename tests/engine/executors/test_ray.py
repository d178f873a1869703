"""Cells on a Ray cluster that is started on this machine: the same figures, and a lost worker costs only time."""

import os
from pathlib import Path
from typing import Any

import pytest

from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import Outcome, run
from robeval.errors import UsageError
from robeval.plugins.discovery import discover
from robeval.results.records import CellRecord

ray = pytest.importorskip("ray", reason="needs the extra ray")

GUEST = '''
import os
import signal
from dataclasses import dataclass

from robeval.testing.linear import FittedLine, RandomCorner, register as linear


@dataclass(frozen=True)
class Deadly(RandomCorner):
    """Kills its process, the first time or always."""

    mark: str = ""
    always: bool = False

    def perturb(self, view, batch, budget, draw):
        if self.always or not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().perturb(view, batch, budget, draw)


class Counted(FittedLine):
    """Notes down every training, by its process."""

    def __init__(self, mark: str = ""):
        super().__init__()
        self.mark = mark

    def on_fit_start(self):
        with open(self.mark, "a") as stream:
            stream.write(f"{os.getpid()}\\n")


def register(registry):
    linear(registry)
    registry.attack("linear/deadly", Deadly)
    registry.victim("linear/counted", Counted)
'''


def executed(tmp_path: Path, executor: str, out: str = "", **fields: Any) -> Outcome:
    """A run of the closed-form domain from a plugin file, with a cache of its own."""
    guest = tmp_path / "guest.py"
    guest.write_text(GUEST)
    address, jobs = fields.pop("address", None), fields.pop("jobs", 2)
    experiment = build_experiment(
        domain="linear",
        plugins=str(guest),
        execution={
            "executor": executor,
            "jobs": jobs,
            "address": address,
            "accelerator": "cpu",
            "batch_size": 20,
        },
        **fields,
    )
    plan = make_plan(experiment, discover([guest]))
    folder = tmp_path / (out or executor)
    return run(plan, folder, Cache(tmp_path / f"cache-{folder.name}"), Watcher(), command="robeval run")


def comparable(record: CellRecord) -> dict[str, object]:
    """All of a record but what depends on the clock."""
    clock = {"seconds", "overhead", "bare_seconds", "prepared_seconds"}
    content = record.model_dump()
    for part in ("cost", "observed"):
        content[part] = {name: value for name, value in content[part].items() if name not in clock}
    return content


def test_local_processes_and_ray_agree_bit_for_bit(tmp_path: Path) -> None:
    """Trained victims, attacks, a worst-of row and per-example tables; each victim is trained once."""
    mark = tmp_path / "trainings"
    fields: dict[str, Any] = {
        "victims": ("line", f"counted:mark={mark}"),
        "attacks": ("none", "steps", "random-corner"),
        "worst_of": True,
    }
    outcomes = {}
    for name in ("local", "processes", "ray"):
        mark.unlink(missing_ok=True)
        outcomes[name] = executed(tmp_path, name, **fields)
        assert len(mark.read_text().split()) == 1
    local = outcomes.pop("local")
    assert all(record.status == "done" for record in local.records)
    for outcome in outcomes.values():
        assert list(map(comparable, outcome.records)) == list(map(comparable, local.records))
        for record in local.records:
            name = f"examples/{record.id}.parquet"
            assert (outcome.folder / name).read_bytes() == (local.folder / name).read_bytes()
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_killed_worker_costs_its_own_cell_at_most(tmp_path: Path) -> None:
    """A cell that lost its worker is tried once more, then failed; the next worker goes on."""
    mark = tmp_path / "mark"
    attacks = (f"deadly:mark={mark},always=true", f"deadly:mark={tmp_path / 'other'}")
    outcome = executed(tmp_path, "ray", jobs=1, attacks=attacks)
    assert [record.status for record in outcome.records] == ["failed", "done"]
    assert "tried twice: its Ray worker was lost" in (outcome.records[0].error or "")
    assert outcome.exit_code(strict=False) == 3
    assert os.path.exists(mark)


def test_an_address_where_no_cluster_is(tmp_path: Path) -> None:
    """It is a mistake of usage, said with the address, and soon."""
    with pytest.raises(UsageError, match=r"no Ray cluster at --address 127\.0\.0\.1:1"):
        executed(tmp_path, "ray", address="127.0.0.1:1")
