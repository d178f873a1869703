"""A worker on another machine: all that it knows is two URLs."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from robeval.engine.cache import Cache
from robeval.engine.executors.worker import Job, Task, Worker
from robeval.engine.experiment import Experiment, build_experiment
from robeval.engine.plan import Plan, make_plan
from robeval.plugins.discovery import discover
from robeval.results.places import local_folder
from robeval.results.records import CellRecord
from robeval.results.remote import Remote
from robeval.results.store import RunFolder

LINEAR = Path(__file__).parents[3] / "robeval" / "testing" / "linear.py"


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker owns its process: what it changes there is put back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    threads, folder = torch.get_num_threads(), Path.cwd()
    yield
    torch.set_num_threads(threads)
    os.chdir(folder)


@pytest.fixture
def experiment() -> Experiment:
    """Two cells of a trained victim, four chunks each."""
    execution = {"accelerator": "cpu", "batch_size": 16}
    made: Experiment = build_experiment(
        domain="linear",
        plugins=str(LINEAR),
        victims="fitted-line",
        attacks=("none", "steps"),
        execution=execution,
    )
    return made


@pytest.fixture
def plan(experiment: Experiment) -> Plan:
    """What the main process has."""
    return make_plan(experiment, discover([LINEAR]))


def test_a_worker_that_knows_urls_only(experiment: Experiment, plan: Plan, tmp_path: Path) -> None:
    """Its cells and victims are at the URLs, the main process reads them there, and nothing stays on its machine."""
    url = f"memory://{uuid.uuid4().hex}"
    job = Job(experiment.model_dump(mode="json"), f"{url}/run", f"{url}/cache", 0.0, 1, 1)
    worker = Worker(job)
    assert worker.answer(Task("fit", "0")).record == ""
    main = RunFolder(local_folder(f"{url}/run"))
    for cell in plan.cells:
        answer = worker.answer(Task("cell", cell.id))
        record = CellRecord.model_validate_json(answer.record)
        assert record.status == "done"
        assert answer.event is not None
        main.adopt(answer.event)
        assert main.finished(cell.id, answer.event["key"]) == record
    kinds = sorted(name.split("/")[0] for name in Remote(f"{url}/cache").listing())
    assert kinds == ["cells", "cells", "victims"]
    path = worker.evaluator.folder.path
    assert [file for file in path.rglob("*") if file.is_file() and not file.name.startswith("journal")] == []
    assert local_folder(f"{url}/run") not in (path, *path.parents)
    assert Cache(local_folder(f"{url}/cache")).find("cells", answer.event["key"]) is not None


def test_a_cell_that_lost_its_worker_goes_on_where_that_one_was(experiment: Experiment, plan: Plan) -> None:
    """Another worker finds the chunks at the URL."""
    url = f"memory://{uuid.uuid4().hex}"
    cell = plan.cells[1]
    first, second = (
        Worker(Job(experiment.model_dump(mode="json"), f"{url}/run", f"{url}/cache", 0.0, 1, number))
        for number in (1, 2)
    )
    kept: list[int] = []

    def dying(name: str, key: str, number: int, rows: object) -> None:
        if number == 2:
            raise SystemExit
        kept.append(number)
        RunFolder.keep_chunk(first.evaluator.folder, name, key, number, rows)  # type: ignore[arg-type]

    first.evaluator.folder.keep_chunk = dying  # type: ignore[method-assign,assignment]
    first.evaluator.folder.keep_cell = lambda *_: None  # type: ignore[method-assign,assignment]
    first.answer(Task("cell", cell.id))
    assert kept == [0, 1]
    again: list[int] = []
    keep = second.evaluator.folder.keep_chunk
    second.evaluator.folder.keep_chunk = lambda *words: (again.append(words[2]), keep(*words))[1]  # type: ignore[method-assign,assignment,func-returns-value]
    record = CellRecord.model_validate_json(second.answer(Task("cell", cell.id)).record)
    assert record.status == "done"
    assert again == [2, 3]
