"""`--logger`: what experiment trackers are told of a run, read back through their own readers."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from robeval.engine import trackers
from robeval.engine.plan import Cell
from robeval.engine.tracked import cell_labels
from robeval.plugins.specs import PluginSpec

Robeval = Callable[..., Any]
LINEAR = Path(__file__).parents[2] / "robeval/testing/linear.py"
WHAT = ("run", "linear", "--plugin", LINEAR, "--accelerator", "cpu", "--max-examples", 16)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a working folder of its own, and no tracker's settings from outside."""
    monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def figures_of(folder: Path) -> dict[str, Any]:
    """The records of a run by attack."""
    records = [json.loads(path.read_text()) for path in (folder / "cells").glob("*.json")]
    return {record["attack"]: record for record in records}


def test_csv_holds_a_line_for_every_cell(robeval: Robeval, tmp_path: Path) -> None:
    """The table has the figures of the cells' records with their intervals; the reports lie beside it."""
    done = robeval(*WHAT, "-a", "worst", "-a", "random-corner", "--out", "r", "--logger", "csv")
    assert done.code == 0, done.err
    folder = tmp_path / "r/loggers/csv/version_0"
    lines = {line["attack"]: line for line in csv.DictReader((folder / "metrics.csv").open())}
    assert set(lines) == {"none", "worst", "random-corner"}
    kept = figures_of(tmp_path / "r")["worst"]
    assert float(lines["worst"]["accuracy"]) == kept["metrics"]["accuracy"]["value"]
    assert float(lines["worst"]["accuracy.low"]) == kept["metrics"]["accuracy"]["low"]
    assert float(lines["worst"]["cost.forward"]) == 1
    assert lines["worst"]["believed"] == kept["verdict"]
    assert yaml.safe_load((folder / "hparams.yaml").read_text())["attacks"] == "none, worst, random-corner"
    assert {"report.html", "report.md", "summary.json"} <= {path.name for path in folder.iterdir()}
    assert len(list(folder.glob("*-worst.png"))) == 3


def test_tensorboard_shows_scalars_text_and_pictures(robeval: Robeval, tmp_path: Path) -> None:
    """An event file that TensorBoard's own reader understands."""
    pytest.importorskip("tensorboard", reason="robeval[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", "tensorboard").code == 0
    events = EventAccumulator(str(tmp_path / "r/loggers/tensorboard/version_0"))
    events.Reload()
    kept = figures_of(tmp_path / "r")["worst"]["metrics"]["accuracy"]["value"]
    (scalar,) = events.Scalars("worst/none/accuracy")
    assert scalar.value == pytest.approx(kept)
    tags = events.Tags()
    assert "report/text_summary" in tags["tensors"]
    assert tags["images"]


def test_mlflow_keeps_params_metrics_and_artifacts(
    robeval: Robeval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local SQLite store, read back through MLflow's client: every cell's figures, the experiment, the report."""
    pytest.importorskip("mlflow", reason="robeval[mlflow] is not installed")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    done = robeval(
        *WHAT, "-a", "worst", "--budget", "0.1,0.5", "--seeds", 2, "--out", "r", "--logger", "mlflow"
    )
    assert done.code == 0, done.err
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("robeval")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "r"
    assert found.info.status == "FINISHED"
    assert found.data.params["attacks"] == "none, worst"
    assert found.data.params["budgets"] == "0.1, 0.5"
    assert found.data.params["execution/batch_size"] == "128"
    assert found.data.params["command"].startswith("robeval run linear")
    labels = [f"worst at {budget}/none/seed {seed}" for budget in ("0.1", "0.5") for seed in (0, 1)]
    labels += [f"none/none/seed {seed}" for seed in (0, 1)]
    metrics = found.data.metrics
    assert {name.removesuffix("/accuracy") for name in metrics if name.endswith("/accuracy")} == set(labels)
    kept = [
        json.loads(path.read_text())["metrics"]["accuracy"]["value"]
        for path in (tmp_path / "r/cells").glob("*.json")
    ]
    assert sorted(metrics[f"{label}/accuracy"] for label in labels) == pytest.approx(sorted(kept))
    assert metrics["worst at 0.5/none/seed 0/cost.forward"] == 1
    assert metrics["worst at 0.5/none/seed 0/verdict"] == 0
    names = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert {"report.html", "report.md", "summary.json"} <= names
    page = Path(client.download_artifacts(found.info.run_id, "report.html", str(tmp_path))).read_text()
    assert "<html" in page


def test_a_tracker_that_fails_is_left_out_after_one_warning(
    robeval: Robeval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is down costs a line on standard error: the run ends well, and the other trackers go on."""

    class Down(trackers.CsvTracker):
        def cell(self, *told: Any) -> None:
            raise ConnectionError("connection refused")

    made = trackers.make
    broken = {"tensorboard": lambda folder: Down(trackers.CSVLogger(folder, name="down"))}
    monkeypatch.setattr(
        trackers,
        "make",
        lambda kind, folder, name: broken[kind](folder) if kind in broken else made(kind, folder, name),
    )
    done = robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", "tensorboard,csv")
    assert done.code == 0
    assert done.err.count("warning: --logger tensorboard is left out, the run goes on: ConnectionError") == 1
    assert len(list(csv.DictReader((tmp_path / "r/loggers/csv/version_0/metrics.csv").open()))) == 2


def test_an_mlflow_server_that_is_down_does_not_kill_the_run(
    robeval: Robeval, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens on port 9 of this machine."""
    pytest.importorskip("mlflow", reason="robeval[mlflow] is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", "mlflow")
    assert done.code == 0
    assert done.err.count("warning: --logger mlflow is left out") == 1


def test_wandb_is_told_the_same_and_closed(
    robeval: Robeval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the service's run: parameters, figures, report files, and a clean end."""

    class Service:
        def __init__(self) -> None:
            self.saved: list[str] = []
            self.code: int | None = None

        def save(self, path: str, base_path: str, policy: str) -> None:
            assert Path(path).is_file()
            self.saved.append(Path(path).name)

        def finish(self, exit_code: int) -> None:
            self.code = exit_code

    class Stand:
        def __init__(self) -> None:
            self.experiment, self.metrics, self.params = Service(), {}, {}

        def log_hyperparams(self, params: dict[str, Any]) -> None:
            self.params |= params

        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            self.metrics |= metrics

        def finalize(self, status: str) -> None:
            assert status == "success"

    stand = Stand()
    monkeypatch.setattr(trackers, "_is_there", lambda module: True)
    monkeypatch.setattr(trackers, "WandbLogger", lambda **given: stand)
    monkeypatch.setattr(trackers, "WandbTracker", _loosely(trackers.WandbTracker))
    assert robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", "wandb").code == 0
    assert stand.params["attacks"] == "none, worst"
    assert stand.metrics["none/none/accuracy"] == 1.0
    assert "report.html" in stand.experiment.saved
    assert stand.experiment.code == 0


def _loosely(kind: Any) -> Any:
    """The tracker around a stand-in, which is none of Lightning's loggers."""

    def made(logger: Any) -> Any:
        tracker = object.__new__(kind)
        tracker.logger = logger
        return tracker

    return made


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_named_with_its_extra(
    robeval: Robeval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Exit code 2 before anything runs, and the exact command."""
    monkeypatch.setitem(sys.modules, kind, None)
    done = robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", kind)
    assert done.code == 2
    assert f"pip install 'robeval[{kind}]'" in done.err
    assert not (tmp_path / "r").exists()


def test_an_unknown_logger_is_refused(robeval: Robeval) -> None:
    """Exit code 2, and the names that there are."""
    done = robeval(*WHAT, "-a", "worst", "--logger", "csv,neptune")
    assert done.code == 2
    assert "'csv', 'tensorboard', 'mlflow' or 'wandb'" in done.err


def test_a_refused_run_leaves_no_trace_in_a_tracker(robeval: Robeval, tmp_path: Path) -> None:
    """A folder that is none of ours stays as it was."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r/mine.txt").write_text("x")
    assert robeval(*WHAT, "-a", "worst", "--out", "r", "--logger", "csv").code == 2
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["mine.txt"]


def test_labels_hold_what_tells_cells_apart() -> None:
    """Budget, knowledge and seed where there are several; nothing that all cells share; only safe letters."""

    def cell(attack: str, **more: Any) -> Cell:
        usual = {"knowledge": "adaptive", "budget": 0.5, "seed": 0} | more
        names = {"domain": "linear", "dataset": PluginSpec(name="points"), "victim": PluginSpec(name="line")}
        return Cell(**names, attack=PluginSpec.parse(attack), defense=PluginSpec(name="none"), **usual)

    cells = [cell("worst"), cell("worst", knowledge="oblivious"), cell("steps:iterations=3"), cell("steps")]
    labels = cell_labels(cells)
    assert [labels[c.id] for c in cells] == [
        "worst/none",
        "worst oblivious/none",
        "steps_iterations_3/none",
        "steps/none",
    ]
    several = [cell("worst"), cell("worst", budget=1.0), cell("worst", seed=1)]
    assert [cell_labels(several)[c.id] for c in several] == [
        "worst at 0.5/none/seed 0",
        "worst at 1/none/seed 0",
        "worst at 0.5/none/seed 1",
    ]
