"""The run that the reports of these tests are made from."""

import shutil
from pathlib import Path

import pytest

from robeval.report.matrix import Matrix, matrices
from robeval.report.summary import chosen_metrics, read_run
from tests.report.swept_run import write_swept_run
from tests.report.synthetic_run import write_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with every state a cell can be in; do not change it."""
    return write_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="session")
def single_seed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one seed: nothing to pool, so it is reported quickly; do not change it."""
    return write_run(tmp_path_factory.mktemp("runs") / "single", seeds=1)


@pytest.fixture(scope="session")
def swept_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three budgets, both knowledges, a counter-measure and worst-of rows; do not change it."""
    return write_swept_run(tmp_path_factory.mktemp("runs") / "swept")


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(finished_run, tmp_path / "demo"))


@pytest.fixture(scope="session")
def ade(finished_run: Path) -> Matrix:
    """The headline's matrix."""
    summary = read_run(finished_run)
    return matrices(summary, finished_run, chosen_metrics(summary, None))[0]
