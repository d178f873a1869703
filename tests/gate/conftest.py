"""Runs written by hand, and a small world in which robust training matters."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robeval.cli.shell import call
from robeval.gate.judge import judge
from robeval.gate.record import record
from robeval.gate.verdict import Change, Finding, Verdict
from robeval.results.baseline import read_baseline, read_outcomes, write_baseline

METRICS = [
    {"name": "accuracy", "unit": "", "direction": "higher", "kind": "proportion", "column": "accuracy"},
    {"name": "error", "unit": "m", "direction": "lower", "kind": "mean", "column": "error"},
]
FINGERPRINTS = {
    "domain linear": "d1",
    "dataset points": "p1",
    "attack none": "n1",
    "attack worst": "w1",
    "victim line": "v1",
    "defense none": "e1",
}


def figure(values: Sequence[float], metric: dict[str, Any]) -> dict[str, Any]:
    """A figure without an interval."""
    unit, direction = metric["unit"], metric["direction"]
    value = float(np.mean(values))
    return {
        "value": value,
        "low": None,
        "high": None,
        "unit": unit,
        "direction": direction,
        "n": len(values),
    }


class Places:
    """A run folder that grows cell by cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: list[str] = []
        for name in ("cells", "examples"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def cell(
        self,
        attack: str,
        accuracy: Sequence[float],
        metres: Sequence[float] | None = None,
        *,
        clusters: Sequence[str] | None = None,
        examples: Sequence[str] | None = None,
        **changes: Any,
    ) -> "Places":
        """Add a cell with these outcomes; `changes` replace fields of its record."""
        n = len(accuracy)
        metres = [1.0 + k for k in range(n)] if metres is None else metres
        columns = {"accuracy": accuracy, "error": metres}
        record_: dict[str, Any] = {
            "id": f"{len(self.ids):012x}",
            "domain": "linear",
            "dataset": "points",
            "victim": "line",
            "attack": attack,
            "defense": "none",
            "knowledge": "adaptive",
            "budget": {"name": "distance", "unit": "m", "value": 0.5},
            "seed": 0,
            "n": n,
            "invalid": 0,
            "status": "done",
            "metrics": {m["name"]: figure(columns[m["name"]], m) for m in METRICS if n},
            "cost": {"forward": 0, "backward": 0, "queries": 0, "seconds": 0},
            "verdict": "ok",
            "evidence": [],
        } | changes
        self.ids.append(record_["id"])
        (self.folder / "cells" / f"{record_['id']}.json").write_text(json.dumps(record_))
        table = {
            "example": list(examples or [f"test-{k}" for k in range(n)]),
            "cluster": list(clusters or [f"scene-{k}" for k in range(n)]),
            "group": [""] * n,
            **{name: list(map(float, values)) for name, values in columns.items()},
        }
        pq.write_table(pa.table(table), self.folder / "examples" / f"{record_['id']}.parquet")
        return self

    def done(self, **changes: Any) -> Path:
        """Write run.json and give the folder."""
        run = {
            "schema": 1,
            "name": self.folder.name,
            "command": "robeval run linear",
            "experiment": {"domain": "linear", "execution": {"batch_size": 4}, "plugins": []},
            "environment": {
                "robeval": "0.1.0",
                "python": "3.11",
                "platform": "Linux",
                "packages": {"torch": "2.13.0", "numpy": "1.26.4", "scipy": "1.14"},
                "device": "cpu",
                "threads": 1,
            },
            "metrics": METRICS,
            "fingerprints": FINGERPRINTS,
            "cells": self.ids,
            "started": "2026-11-21T09:00:00+00:00",
            "finished": "2026-11-21T09:01:00+00:00",
            "seconds": 1.0,
            "complete": True,
        } | changes
        (self.folder / "run.json").write_text(json.dumps(run))
        return self.folder


@pytest.fixture
def places(tmp_path: Path) -> Callable[[str], Places]:
    """Starts an empty run folder of that name."""
    return lambda name: Places(tmp_path / name)


@pytest.fixture
def held(tmp_path: Path) -> Callable[..., tuple[list[Finding], list[str]]]:
    """Records one run and judges another one by it."""

    def judged(
        before: Path,
        after: Path,
        metrics: Sequence[str] = ("accuracy",),
        changed: Sequence[Change] = (),
        tolerances: dict[str, float] | None = None,
        **strictness: Any,
    ) -> tuple[list[Finding], list[str]]:
        path = tmp_path / "baseline.json"
        found = record(before, metrics=metrics, allow_suspicious=True)
        write_baseline(path, found.baseline, found.outcomes)
        baseline = read_baseline(path)
        for name, tolerance in (tolerances or {}).items():
            edited = [
                metric.model_copy(update={"tolerance": tolerance}) if metric.name == name else metric
                for metric in baseline.metrics
            ]
            baseline = baseline.model_copy(update={"metrics": edited})
        return judge(baseline, read_outcomes(path, baseline), after, changed, **strictness)

    return judged


@pytest.fixture
def verdict(held: Callable[..., tuple[list[Finding], list[str]]], tmp_path: Path) -> Callable[..., Verdict]:
    """A whole verdict of one run by another, without the running."""

    def made(before: Path, after: Path, changed: Sequence[Change] = (), **more: Any) -> Verdict:
        findings, new = held(before, after, changed=changed, **more)
        return Verdict(
            baseline=Path("robeval-baseline.json"),
            folder=Path("runs/linear-1"),
            experiment=Path("ci/experiment.yaml"),
            findings=tuple(findings),
            changes=tuple(changed),
            new=tuple(new),
            alpha=0.05,
            seconds=3661.5,
            command="robeval check ci/experiment.yaml",
        )

    return made


@pytest.fixture
def mixed(places: Callable[[str], Places], verdict: Callable[..., Verdict]) -> Verdict:
    """A regression, a failed cell, an improvement and one that held; texts that no format likes."""
    bad = "RuntimeError: <b>100 %</b>|\x1b[31m `x` & ]]> \n a second line"
    zeros, ones = [0.0] * 40, [1.0] * 40
    before = places("before").cell("none", ones).cell("worst", ones)
    before.cell("a<b>|c", ones).cell("weak", zeros)
    after = places("after").cell("none", ones).cell("worst", zeros)
    after.cell("a<b>|c", [], status="failed", error=bad, verdict="invalid").cell("weak", ones)
    return verdict(before.done(), after.done())


ROOM = '''
"""Two features: a strong one that noise blurs, and a weak one that is clean. Only the first survives an attack."""

import torch

from robeval.seeding import Seed
from robeval.testing import linear


class Twofold(linear.PointData):
    """Labels by a coin. Source: a test."""

    def __init__(self, count: int = 120) -> None:
        super().__init__(count, 0)

    def load(self, split):
        """Both features of every point."""
        ids = tuple(f"{split}-{number}" for number in range(self.count))
        draws = Seed(self.seed).child("twofold").draws(ids)
        label = 2.0 * draws.fork("label").coin(0.5, 1).squeeze(1).float() - 1.0
        noise = draws.fork("noise").normal(2)
        strong, weak = label * 1.5 + 0.8 * noise[:, 0], label * 0.2 + 0.05 * noise[:, 1]
        return linear.Points(ids, torch.stack([strong, weak], dim=1), label)


def register(registry):
    linear.register(registry)
    registry.dataset("linear/twofold", Twofold)
'''
MODEL = '''
"""The victim that a team works on."""

import torch

from robeval.testing import linear

GUARD = 0.5


class Guarded(linear.FittedLine):
    """A line trained against the worst case within GUARD. Source: a test."""

    train_batch_size = 120

    def __init__(self) -> None:
        super().__init__(steps=150)

    def loss(self, batch):
        """Logistic loss of the worst case."""
        margin = self(batch) * batch.label - GUARD * self.weight.abs().sum()
        return torch.nn.functional.softplus(-margin)


def register(registry):
    registry.victim("linear/guarded", Guarded)
'''
EXPERIMENT = """
domain: linear
datasets: [twofold]
victims: [guarded]
attacks: [none, worst]
defenses: [none]
seed: SEED
plugins: [room.py, model.py]
execution: {accelerator: cpu}
"""


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs a command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object) -> Said:
        code = call([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """A project folder, entered: experiment, plugins, a weakened model beside the good one; its own cache."""

    def made(seed: int = 0) -> Path:
        folder = tmp_path / "project"
        (folder / "weak").mkdir(parents=True)
        (folder / "room.py").write_text(ROOM)
        (folder / "model.py").write_text(MODEL)
        (folder / "weak" / "model.py").write_text(MODEL.replace("GUARD = 0.5", "GUARD = 0.0"))
        (folder / "experiment.yaml").write_text(EXPERIMENT.replace("SEED", str(seed)))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path / "cache"))
        return folder

    return made
