"""Attacks and defenses that cheat, on purpose or by accident: none of them gets a wrong figure past the engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from robeval import Attack, Budget, Defense, Draws, Noise, Seed, ThreatModel, View
from robeval.engine.run import Outcome
from robeval.errors import MissingFile, PluginError
from robeval.plugins.registry import Registry
from robeval.results.records import CellRecord
from robeval.testing.linear import Points, WorstCase

Run = Callable[..., Outcome]
DISTANCE = Budget("distance", "", 0.5)


def only(outcome: Outcome, attack: str) -> CellRecord:
    """The one cell of an attack."""
    (found,) = [record for record in outcome.records if record.attack.split(":")[0] == attack]
    return found


def accuracy(record: CellRecord) -> float:
    """A figure that must exist."""
    found = record.metrics["accuracy"].value
    assert found is not None
    return found


@dataclass(frozen=True)
class Typo(Attack[Points]):
    """Limits what nobody measures. Source: this test."""

    threat = ThreatModel("none", Budget("distanse", "", 0.01))

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        return batch.replace(point=-batch.point)


def test_an_unmeasured_budget_is_no_budget(registry: Registry, execute: Run) -> None:
    """A budget under a name that the domain does not measure fails the cell and names what is measured."""
    registry.attack("linear/typo", Typo)
    record = only(execute(attacks="typo"), "typo")
    assert record.status == "failed"
    assert "It measures: distance" in (record.error or "")


@dataclass(frozen=True)
class Sneak(Attack[Points]):
    """Tampers without the grant. Source: this test."""

    threat = ThreatModel("none", DISTANCE)

    def tamper(self, victim: Any, budget: float, seed: Seed) -> Any:
        return victim


def test_hooks_need_their_access(registry: Registry, execute: Run) -> None:
    """Who tampers must declare access to the weights."""
    registry.attack("linear/sneak", Sneak)
    with pytest.raises(PluginError, match="access='weights'"):
        execute(attacks="sneak")


@dataclass(frozen=True)
class Meddler(Attack[Points]):
    """Writes where it should only read. Source: this test."""

    threat = ThreatModel("white-box", DISTANCE)
    where: str = "points"

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        if self.where == "points":
            batch.point.zero_()
        if self.where == "weights":
            view.module.weight.data = -view.module.weight.data  # type: ignore[union-attr]
        return batch


@pytest.mark.parametrize("where", ["points", "weights"])
def test_meddling_does_not_reach_other_cells(registry: Registry, execute: Run, where: str) -> None:
    """Clean inputs and weights are as before for the next cell, also for another victim; the meddler is told."""
    registry.attack("linear/meddler", Meddler)
    alone = execute("alone", attacks="worst")
    together = execute("together", attacks=(f"meddler:where={where}", "worst"), seed=0, max_examples=64)
    assert accuracy(only(together, "worst")) == accuracy(only(alone, "worst"))
    assert only(together, "worst").verdict == "ok"
    assert only(together, "meddler").verdict != "ok"


@dataclass(frozen=True)
class ManyRows(Attack[Points]):
    """Asks with more rows than ids. Source: this test."""

    threat = ThreatModel("score", DISTANCE, queries=2)

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        view(batch.replace(point=batch.point.repeat(10, 1), label=batch.label.repeat(10)))
        return batch


def test_rows_without_ids_are_refused(registry: Registry, execute: Run) -> None:
    """Ten questions under one id would be counted as one."""
    registry.attack("linear/many-rows", ManyRows)
    record = only(execute(attacks="many-rows"), "many-rows")
    assert "batch.repeat" in (record.error or "") or "TypeCheckError" in (record.error or "")


@dataclass(frozen=True)
class Direct(Attack[Points]):
    """Asks the module itself. Source: this test."""

    threat = ThreatModel("white-box", DISTANCE, queries=3)

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        module = view.module
        for _ in range(2):
            module(batch)
        view(batch)
        return batch


def test_the_module_is_counted_too(registry: Registry, execute: Run) -> None:
    """`view.module(batch)` is a question like `view(batch)`."""
    registry.attack("linear/direct", Direct)
    assert only(execute(attacks="direct"), "direct").cost.queries == 3


class Shaky(nn.Module):
    """Adds noise, and remembers what it was asked under."""

    def __init__(self, victim: nn.Module, seed: Seed) -> None:
        super().__init__()
        self.victim, self.noise = victim, Noise(seed)
        self.rounds: list[int] = []
        self.last = torch.zeros(0)

    def forward(self, batch: Points) -> Tensor:
        self.rounds.append(self.noise.round)
        self.last = self.noise(batch.ids).normal(2)
        return self.victim(batch.replace(point=batch.point + self.last))


@dataclass(frozen=True)
class Shake(Defense):
    """A random defense. Source: this test."""

    made = []

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        self.made.append(Shaky(victim, seed))
        return self.made[-1]


def test_an_attacker_never_sees_the_noise_of_the_judgement(registry: Registry, execute: Run) -> None:
    """Round 0 belongs to the judge: neither the view nor the module itself answers an attacker under it."""
    registry.defense("linear/shake", Shake)
    registry.attack("linear/direct", Direct)
    execute(attacks="direct", defenses="shake")
    rounds = Shake.made[-1].rounds
    attacked = [number for number in rounds if number]
    assert len(attacked) == len(set(attacked)) == 3
    assert 0 in rounds


class Fickle(nn.Module):
    """Turns its answers round from some question on; that is no weight."""

    def __init__(self, victim: nn.Module, good_for: int) -> None:
        super().__init__()
        self.victim, self.left, self.asked = victim, good_for, []

    def forward(self, batch: Points) -> Tensor:
        self.left -= 1
        self.asked.append(len(batch))
        answer: Tensor = self.victim(batch)
        return answer if self.left >= 0 else -answer


@dataclass(frozen=True)
class Fade(Defense):
    """A defense that changes by itself. Source: this test."""

    good_for: int = 0
    made = []

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        self.made.append(Fickle(victim, self.good_for))
        return self.made[-1]


@pytest.mark.parametrize(("good_for", "unrepeatable"), [(2, {"none", "direct"}), (100, set())])
def test_a_victim_that_changes_by_itself_is_told(
    registry: Registry, execute: Run, good_for: int, unrepeatable: set[str]
) -> None:
    """A few examples must get the answer that they got at first, also from one cell to the next."""
    registry.defense("linear/fade", Fade)
    registry.attack("linear/direct", Direct)
    outcome = execute(attacks=("none", "direct"), defenses=f"fade:good_for={good_for}")
    told = {
        record.attack: found.message
        for record in outcome.records
        for found in record.evidence
        if found.check == "repeatable"
    }
    assert set(told) == unrepeatable
    for message in told.values():
        assert "16 of 16 examples" in message
    # All of them once, the few twice in the first cell and once in the next.
    assert Fade.made[-1].asked.count(16) == 3


def test_copies_of_an_example_get_different_noises() -> None:
    """An expectation over k copies in one batch is over k draws; the judge's draw belongs to the id alone."""
    noise = Noise(Seed(0))
    noise.round = 4
    copies = noise(("a", "a", "b", "a")).normal(1).flatten()
    assert len(set(copies.tolist())) == 4
    assert noise(("a",)).normal(1).item() == copies[0].item()
    noise.round = 0
    assert noise(("a", "a")).normal(1).unique().numel() == 1


@dataclass(frozen=True)
class Peek(Defense):
    """Looks at the test points. Source: this test."""

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        data.split("test")
        return victim


def test_a_defense_never_sees_the_test_split(registry: Registry, execute: Run) -> None:
    """Answers cannot be memorised: the cell fails and says which splits are allowed."""
    registry.defense("linear/peek", Peek)
    record = only(execute(attacks="none", defenses="peek"), "none")
    assert "may not see the test split" in (record.error or "")


@dataclass(frozen=True)
class Leaves(Attack[Points]):
    """Ends in an unusual way. Source: this test."""

    threat = ThreatModel("none", DISTANCE)
    how: str = "exit"

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        if self.how == "exit":
            raise SystemExit(0)
        if self.how == "keyboard":
            raise KeyboardInterrupt
        raise MissingFile("my-table.csv")


@pytest.mark.parametrize("how", ["exit", "keyboard", "missing"])
def test_leaving_fails_the_cell_and_not_the_run(registry: Registry, execute: Run, how: str) -> None:
    """sys.exit, a KeyboardInterrupt of its own or a missing file in an attack: the other cells are done, exit 3."""
    registry.attack("linear/leaves", Leaves)
    outcome = execute(attacks=(f"leaves:how={how}", "worst"))
    assert only(outcome, "leaves").status == "failed"
    assert only(outcome, "worst").status == "done"
    assert outcome.exit_code(strict=False) == 3


@dataclass(frozen=True)
class Uneven(Attack[Points]):
    """Asks about the first example only. Source: this test."""

    threat = ThreatModel("score", DISTANCE, queries=3)
    careful: bool = False

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        for _ in range(3):
            view(batch.select([0]))
        rows = batch.select(view.left(batch) > 0) if self.careful else batch
        view(rows)
        return batch


def test_one_busy_example_does_not_stop_the_others(registry: Registry, execute: Run) -> None:
    """Asking unevenly past the limit is an error that says how to go on; with `view.left` the rest is answered."""
    registry.attack("linear/uneven", Uneven)
    outcome = execute(attacks=("uneven", "uneven:careful=true"))
    careless, careful = outcome.records
    assert "view.left(batch)" in (careless.error or "")
    assert careful.status == "done"


@dataclass(frozen=True)
class Half(WorstCase):
    """Changes some examples only. Source: this test."""

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        attacked = super().perturb(view, batch, budget, draw)
        mine = torch.tensor([int(name.split("-")[1]) % 2 == 0 for name in batch.ids])
        return batch.replace(point=torch.where(mine.unsqueeze(1), attacked.point, batch.point))


def test_adversarial_points_are_kept_whatever_the_chunks(registry: Registry, execute: Run) -> None:
    """A chunk in which nothing changed does not cost the others their adversarial examples."""
    registry.attack("linear/half", Half)
    outcome = execute(attacks="half", execution={"batch_size": 1})
    points = load_file(outcome.folder / f"artifacts/{outcome.records[0].id}.safetensors")["point"]
    assert points.shape == (64, 2)
    assert np.isfinite(points).all()


def test_artifacts_of_other_code_do_not_survive(registry: Registry, execute: Run, tmp_path: Path) -> None:
    """When a cell fails after it had once worked, nothing of the old code stays beside its record."""
    outcome = execute(attacks="worst")
    cell = outcome.records[0].id
    registry.entries.pop(("attack", "linear/worst"))
    registry.attack("linear/worst", Leaves)
    assert execute(attacks="worst").records[0].status == "failed"
    assert not (tmp_path / f"run/artifacts/{cell}.safetensors").exists()
    assert not (tmp_path / f"run/examples/{cell}.parquet").exists()


def test_another_class_in_the_same_file_is_another_attack(registry: Registry, execute: Run) -> None:
    """A name that points to another class of the same module is computed anew."""
    first = execute("first", attacks="worst")
    registry.entries.pop(("attack", "linear/worst"))
    registry.attack("linear/worst", registry.entries["attack", "linear/random-corner"].target)
    second = execute("second", attacks="worst")
    assert second.from_cache == 0
    assert accuracy(second.records[0]) > accuracy(first.records[0])


def test_defaults_written_out_are_the_same_cell(execute: Run) -> None:
    """`fitted-line` and `fitted-line:steps=20` are one victim and one column of cells."""
    outcome = execute(attacks="none", victims=("fitted-line", "fitted-line:steps=20"))
    assert len(outcome.records) == 1


@pytest.mark.parametrize("default", [float("inf"), float("nan"), -1.0])
def test_a_budget_without_bounds_is_refused(default: float) -> None:
    """A budget that is infinite, NaN or negative is no budget."""
    with pytest.raises(ValueError, match="finite and ≥ 0"):
        Budget("distance", "", default)
