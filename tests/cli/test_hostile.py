"""Hostile and clumsy plugins meet `robeval run`: one line each, their cell marked, the others done, exit 3."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from robeval.engine.experiment import read_experiment

ROOT = Path(__file__).parents[2]
Robeval = Callable[..., Any]

GUEST = '''
"""Everything that can go wrong in a plugin."""

import time
from dataclasses import dataclass

import torch

from robeval import Attack, Budget, Defense, ThreatModel
from robeval.plugins.victim import RobustTraining
from robeval.testing import linear

DISTANCE = Budget("distance", "", 0.5)


@dataclass(frozen=True)
class Bad(Attack):
    """Breaks its contract in one way. Source: a test."""

    threat = ThreatModel("score", DISTANCE)
    how: str = "nothing"

    def perturb(self, view, batch, budget, draw):
        return getattr(self, self.how.replace("-", "_"))(view, batch, budget)

    def raises(self, view, batch, budget):
        raise RuntimeError("out of luck")

    def exits(self, view, batch, budget):
        raise SystemExit("goodbye")

    def wrong_shape(self, view, batch, budget):
        return batch.replace(point=batch.point[:, :1])

    def wrong_type(self, view, batch, budget):
        return batch.point

    def wrong_rows(self, view, batch, budget):
        return batch.select([1, 0])

    def not_a_number(self, view, batch, budget):
        return batch.replace(point=batch.point * torch.nan)

    def other_device(self, view, batch, budget):
        return batch.to("meta")

    def other_dtype(self, view, batch, budget):
        return batch.replace(point=batch.point.double())

    def whole_numbers(self, view, batch, budget):
        return batch.replace(point=batch.point.long())

    def too_far(self, view, batch, budget):
        return batch.replace(point=batch.point + 10 * budget)

    def takes_gradients(self, view, batch, budget):
        point = batch.point.clone().requires_grad_()
        view(batch.replace(point=point)).sum().backward()
        return batch

    def takes_the_module(self, view, batch, budget):
        return batch.replace(point=batch.point - view.module.weight)


@dataclass(frozen=True)
class Blind(Attack):
    """Asks although nothing was granted. Source: a test."""

    threat = ThreatModel("none", DISTANCE)

    def perturb(self, view, batch, budget, draw):
        view(batch)
        return batch


@dataclass(frozen=True)
class Mutates(Attack):
    """Writes into its input. Source: a test."""

    threat = ThreatModel("none", DISTANCE)

    def perturb(self, view, batch, budget, draw):
        batch.point.add_(budget)
        return batch


@dataclass(frozen=True)
class Wrecks(Attack):
    """Turns the weights around and falls over. Source: a test."""

    threat = ThreatModel("white-box", DISTANCE)

    def perturb(self, view, batch, budget, draw):
        view.module.weight.data.neg_()
        raise RuntimeError("and gone")


@dataclass(frozen=True)
class Endless(Attack):
    """Never comes back by itself. Source: a test."""

    threat = ThreatModel("score", DISTANCE)
    how: str = "nothing"

    def perturb(self, view, batch, budget, draw):
        if self.how == "sleep":
            time.sleep(60)
        if self.how == "deaf":
            for _ in range(60):
                try:
                    time.sleep(1)
                except Exception:
                    pass
        end = time.monotonic() + 60
        number = torch.ones(8)
        while time.monotonic() < end:
            if self.how == "torch":
                number = (number * 1.01).clamp(max=2.0)
            if self.how == "victim":
                view(batch)
        return batch


class Drags(RobustTraining):
    """A training whose steps take for ever."""

    def objective(self, batch):
        time.sleep(60)
        return self.victim.loss(batch)


@dataclass(frozen=True)
class Slow(Defense):
    """Never finishes training. Source: a test."""

    def robustify(self, victim, data, seed):
        return Drags(victim)


@dataclass(frozen=True)
class Sick(Defense):
    """Fails in one of its hooks. Source: a test."""

    hook: str = "none"

    def _act(self, hook, value):
        if hook == self.hook:
            raise RuntimeError("no cure")
        return None if f"no-{hook}" == self.hook else value

    def sanitize(self, data, seed):
        return self._act("sanitize", data)

    def robustify(self, victim, data, seed):
        return self._act("robustify", victim)

    def harden(self, victim, data, seed):
        if self.hook == "weights":
            victim.weight.data.neg_()
        return self._act("harden", victim)


def register(registry):
    linear.register(registry)
    registry.attack("linear/bad", Bad)
    registry.attack("linear/blind", Blind)
    registry.attack("linear/mutates", Mutates)
    registry.attack("linear/wrecks", Wrecks)
    registry.attack("linear/endless", Endless)
    registry.defense("linear/slow", Slow)
    registry.defense("linear/sick", Sick)
'''

FAULTS = {
    "bad:how=raises": "RuntimeError: out of luck (at hostile.py:",
    "bad:how=exits": "SystemExit: goodbye",
    "bad:how=wrong-shape": "changed 'point': expected (64, 2) float32 on cpu, got (64, 1)",
    "bad:how=wrong-type": "must return a Points, not Tensor",
    "bad:how=wrong-rows": "64 went in, 2 came back",
    "bad:how=not-a-number": "64 NaN or malformed",
    "bad:how=other-device": "on meta",
    "bad:how=other-dtype": "got (64, 2) float64",
    "bad:how=whole-numbers": "got (64, 2) int64",
    "bad:how=too-far": "64 over budget",
    "bad:how=takes-gradients": "wants a gradient, but its threat model grants access 'score'",
    "bad:how=takes-the-module": "access 'score' (the victim's full output, no gradient), but it reached for",
    "blind": "but it asked the victim",
    "mutates": "changed its input in place",
    "wrecks": "RuntimeError: and gone (at hostile.py:",
}
HOOKS = {
    "sanitize": "RuntimeError: no cure (at hostile.py:",
    "robustify": "RuntimeError: no cure (at hostile.py:",
    "harden": "RuntimeError: no cure (at hostile.py:",
    "no-sanitize": "Sick.sanitize returned nothing, expected a Dataset",
    "no-robustify": "Sick.robustify returned nothing, expected a LightningModule",
    "no-harden": "Sick.harden returned nothing, expected a Module",
    "weights": "Sick.harden changed the weights of the victim it was given",
}
ENDLESS = ("sleep", "deaf", "torch", "victim")
LIMIT_S = 1.5


class Told(NamedTuple):
    """What a run left: exit code, everything printed, and the cells by attack and defense."""

    code: int
    text: str
    cells: dict[tuple[str, str], dict[str, Any]]

    def lines(self, text: str) -> list[str]:
        """The printed lines that hold a text."""
        return [line for line in self.text.splitlines() if text in line]


def run(folder: Path, *words: str) -> Told:
    """`robeval run linear` with the hostile guest, in a process of its own, as a user has it."""
    folders = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets"))]
    changes = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "ROBEVAL_CACHE_DIR": str(folder / "cache")}
    (folder / "hostile.py").write_text(GUEST)
    command = [sys.executable, "-m", "robeval", "run", "linear", "--plugin", "hostile.py", *words]
    done = subprocess.run(
        [*command, "--json", "cells.json"],
        cwd=folder,
        env={**os.environ, **changes, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    text = done.stdout + done.stderr
    assert (folder / "cells.json").is_file(), text
    cells = json.loads((folder / "cells.json").read_text())["cells"]
    return Told(done.returncode, text, {(cell["attack"], cell["defense"]): cell for cell in cells})


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Every faulty attack in one run, an honest one at the end."""
    attacks = [word for name in (*FAULTS, "worst") for word in ("-a", name)]
    return run(tmp_path_factory.mktemp("faulty"), *attacks)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Every attack that never ends and a training that never ends, under a time limit, beside honest ones."""
    attacks = [word for how in ENDLESS for word in ("-a", f"endless:how={how}")]
    words = ("-a", "worst", *attacks, "-d", "none", "-d", "slow", "--victim", "fitted-line")
    return run(tmp_path_factory.mktemp("endless"), *words, "--cell-timeout", str(LIMIT_S))


@pytest.mark.parametrize(("attack", "reason"), FAULTS.items())
def test_a_fault_costs_one_cell_and_is_told_in_one_line(faulty: Told, attack: str, reason: str) -> None:
    """The cell is marked invalid, and one line of the report says why."""
    cell = faulty.cells[attack, "none"]
    assert cell["verdict"] == "invalid"
    assert reason in json.dumps([cell["error"], cell["evidence"]], ensure_ascii=False)
    assert faulty.lines(reason)


def test_the_run_goes_on_after_every_fault(faulty: Told) -> None:
    """The honest attack has its figure and a good verdict, the exit code is 3, no traceback is shown."""
    honest = faulty.cells["worst", "none"]
    assert (honest["status"], honest["verdict"]) == ("done", "ok")
    assert honest["metrics"]["accuracy"]["value"] == pytest.approx(26 / 64)
    assert faulty.code == 3
    assert "Traceback" not in faulty.text


def test_a_defense_that_fails_costs_its_column(tmp_path: Path) -> None:
    """Whichever hook fails, its cells say so, and the undefended column has its figures."""
    defenses = [word for hook in HOOKS for word in ("-d", f"sick:hook={hook}")]
    told = run(tmp_path, "-a", "worst", "-d", "none", *defenses, "--victim", "fitted-line")
    for hook, reason in HOOKS.items():
        cell = told.cells["worst", f"sick:hook={hook}"]
        assert cell["status"] == "failed"
        assert reason in cell["error"]
    alone = run(tmp_path, "-a", "worst", "--victim", "fitted-line", "--fresh", "--out", "alone")
    assert told.cells["worst", "none"]["metrics"] == alone.cells["worst", "none"]["metrics"]
    assert told.code == 3
    assert "Traceback" not in told.text


@pytest.mark.parametrize("how", ENDLESS)
def test_an_endless_attack_is_stopped(endless: Told, how: str) -> None:
    """A sleep, a loop that swallows exceptions, a loop of tensors and a loop of questions end at the limit."""
    cell = endless.cells[f"endless:how={how}", "none"]
    assert cell["status"] == "failed"
    assert "timed out" in cell["error"]
    assert f"--cell-timeout {LIMIT_S:g} s, stopped at " in cell["error"]
    assert endless.lines(cell["error"])


def test_an_endless_training_is_stopped_once(endless: Told) -> None:
    """Every cell that needs it fails with the training's name; the time is spent once, not once a cell."""
    failed = [cell for (_, defense), cell in endless.cells.items() if defense == "slow"]
    assert len(failed) == len(ENDLESS) + 2
    assert {cell["error"] for cell in failed} == {failed[0]["error"]}
    assert "training victim fitted-line with slow (seed 0) took longer" in failed[0]["error"]
    assert "stopped at hostile.py:" in failed[0]["error"]


def test_a_stopped_cell_stops_no_other(endless: Told) -> None:
    """The honest attack and the clean row have their figures; the exit code is 3."""
    assert endless.cells["worst", "none"]["status"] == "done"
    assert endless.cells["none", "none"]["verdict"] == "ok"
    assert endless.code == 3
    assert "Traceback" not in endless.text


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(robeval: Robeval, home: Path, seconds: str) -> None:
    """Zero, negative and endless limits are usage errors."""
    outcome = robeval("run", "trajectory", "--cell-timeout", seconds, "--dry-run")
    assert outcome.code == 2
    assert "timeout" in outcome.err


def test_the_limit_is_part_of_the_saved_execution(robeval: Robeval, home: Path) -> None:
    """--save-config keeps it, and it names the same run as without it: no figure depends on it."""
    words = ("run", "trajectory", "-a", "noise", "--dry-run")
    assert robeval(*words, "--cell-timeout", "90", "--save-config", "limited.yaml").code == 0
    assert robeval(*words, "--save-config", "free.yaml").code == 0
    limited, free = (read_experiment(home / f"{name}.yaml") for name in ("limited", "free"))
    assert limited.execution.cell_timeout == 90
    assert limited.identity() == free.identity()
