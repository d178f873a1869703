"""Experiment trackers: parameters, every cell's figures and the reports, through Lightning's loggers.

A tracker is told, it never decides: one that fails is left out after a warning, and the run goes on.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

from robeval.engine.plan import Plan
from robeval.engine.quiet import quiet_lightning
from robeval.engine.tracked import cell_labels, parameters, row, values
from robeval.errors import MissingExtra
from robeval.results.records import CellRecord

NEEDS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
PROJECT = "robeval"
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "WANDB_SILENT": "true",
}
_TALKATIVE = ("mlflow", "mlflow.store.db.utils", "alembic", "alembic.runtime.migration", "wandb")


class Tracker:
    """One of Lightning's loggers, told of a run. Subclasses know what their service can show."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def begin(self, told: Mapping[str, Any]) -> None:
        """The run's parameters."""
        self.logger.log_hyperparams(dict(told))

    def cell(self, label: str, record: CellRecord, number: int) -> None:
        """A finished cell's figures, under its label."""
        self.logger.log_metrics({f"{label}/{name}": value for name, value in values(record).items()}, number)

    def artifact(self, path: Path) -> None:
        """A report or a picture."""

    def end(self, status: str) -> None:
        """No more will come; `status` is `success`, or `failed` where the run stopped half-way."""
        self.logger.finalize(status)


class CsvTracker(Tracker):
    """`metrics.csv` with a line for each cell, `hparams.yaml`, and the reports beside them."""

    def cell(self, label: str, record: CellRecord, number: int) -> None:
        """A line whose columns are the cell's parts and the metrics."""
        self.logger.log_metrics(row(record) | values(record), number)

    def artifact(self, path: Path) -> None:
        """A copy in the logger's folder."""
        folder = Path(str(self.logger.log_dir))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)

    def end(self, status: str) -> None:
        """Everything is written out."""
        self.logger.save()
        super().end(status)


class TensorBoardTracker(Tracker):
    """Scalars for each cell; Markdown reports as text, pictures as images."""

    def artifact(self, path: Path) -> None:
        """What TensorBoard can show; other files stay in the run folder."""
        board = self.logger.experiment
        if path.suffix == ".md":
            board.add_text(path.stem, path.read_text())
        elif path.suffix == ".png":
            from matplotlib.image import imread

            board.add_image(path.stem, imread(path)[..., :3], dataformats="HWC")


class MlflowTracker(Tracker):
    """An MLflow run; its store is MLFLOW_TRACKING_URI's."""

    def artifact(self, path: Path) -> None:
        """Into the run's artifact store."""
        self.logger.experiment.log_artifact(self.logger.run_id, str(path))


class WandbTracker(Tracker):
    """A Weights & Biases run; WANDB_MODE=offline keeps it on this machine."""

    def artifact(self, path: Path) -> None:
        """Into the run's files."""
        run = self.logger.experiment
        run.save(str(path), base_path=str(path.parent), policy="now")

    def end(self, status: str) -> None:
        """The run is closed: another one in this process is another run."""
        super().end(status)
        run = self.logger.experiment
        run.finish(exit_code=0 if status == "success" else 1)


def make(kind: str, folder: Path, name: str) -> Tracker:
    """The tracker of a kind; its local files lie in `folder`. Raises MissingExtra."""
    if kind in NEEDS and not _is_there(NEEDS[kind]):
        raise MissingExtra(f"--logger {kind}", NEEDS[kind], kind)
    match kind:
        case "csv":
            return CsvTracker(CSVLogger(folder, name="csv", flush_logs_every_n_steps=1))
        case "tensorboard":
            return TensorBoardTracker(TensorBoardLogger(folder, name="tensorboard", default_hp_metric=False))
        case "mlflow":
            store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
            project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            beside = None if "MLFLOW_TRACKING_URI" in os.environ else (folder / "mlflow").resolve().as_uri()
            return MlflowTracker(
                MLFlowLogger(project, run_name=name, tracking_uri=store, artifact_location=beside)
            )
        case "wandb":
            project = os.environ.get("WANDB_PROJECT", PROJECT)
            return WandbTracker(WandbLogger(name=name, project=project, save_dir=folder))
    raise ValueError(f"no tracker '{kind}'")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:
        return False


class Trackers:
    """All trackers of a run. What one of them raises is said once, and it is left out from then on."""

    def __init__(self, trackers: Mapping[str, Tracker], say: Callable[[str], None]) -> None:
        self.trackers = dict(trackers)
        self.say = say
        self._told: dict[str, str] = {}
        self._begun = False
        self._labels: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    @classmethod
    def of(cls, kinds: Sequence[str], folder: Path, name: str, say: Callable[[str], None]) -> Trackers:
        """The trackers that are asked for. Raises MissingExtra before anything runs."""
        trackers = cls({}, say)
        for kind in dict.fromkeys(kinds):
            with trackers.forgiving(kind):
                trackers.trackers[kind] = make(kind, folder, name)
        return trackers

    def expect(self, plan: Plan, command: str) -> None:
        """What will be run. Nothing is written before the first record: a run that is refused leaves no trace."""
        self._labels = cell_labels(plan.cells)
        self._numbers = {cell.id: number for number, cell in enumerate(plan.cells)}
        self._told = parameters(plan, command)

    def cell(self, record: CellRecord) -> None:
        """A cell is done, failed or came from the cache."""
        if not self._begun:
            self._begun = True
            self._each(lambda tracker: tracker.begin(self._told))
        label, number = self._labels.get(record.id, record.id), self._numbers.get(record.id, 0)
        self._each(lambda tracker: tracker.cell(label, record, number))

    def end(self, files: Sequence[Path], status: str) -> None:
        """After the last cell: reports, pictures, and the run is closed."""
        if not self._begun:
            return
        for path in files:
            self._each(lambda tracker, path=path: tracker.artifact(path))  # type: ignore[misc]
        self._each(lambda tracker: tracker.end(status))

    def _each(self, work: Callable[[Tracker], None]) -> None:
        for kind, tracker in list(self.trackers.items()):
            with self.forgiving(kind):
                work(tracker)

    @contextmanager
    def forgiving(self, kind: str) -> Iterator[None]:
        """One warning instead of an exception; a missing package is the user's mistake and stays one."""
        try:
            with patient_and_quiet():
                yield
        except MissingExtra:
            raise
        except Exception as error:
            self.trackers.pop(kind, None)
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.say(f"warning: --logger {kind} is left out, the run goes on: {text}")


@contextmanager
def patient_and_quiet() -> Iterator[None]:
    """A server that is down costs seconds, not minutes; no banners. Everything as before afterwards."""
    added = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
    os.environ.update(added)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with quiet_lightning():
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
