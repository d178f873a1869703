"""Worst-of rows: per example, the worst of all attacks of equal or weaker access."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from robeval import Attack, Draws, View
from robeval.arrays import Batch
from robeval.engine.derived import worst_rows
from robeval.engine.plan import Plan
from robeval.engine.run import Outcome
from robeval.plugins.registry import Registry
from robeval.plugins.threat import Budget, ThreatModel
from robeval.results.records import CellRecord
from robeval.results.store import Rows, RunFolder
from robeval.testing.linear import PointData, Points

Run = Callable[..., Outcome]


@dataclass(frozen=True)
class OneSide(Attack[Points]):
    """Pushes along the first coordinate only."""

    threat = ThreatModel("none", Budget("distance", "", 0.5))
    sign: float = 1.0

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        return batch.replace(point=batch.point + budget * torch.tensor([self.sign, -self.sign]))


@pytest.fixture
def sided(registry: Registry) -> Registry:
    """The closed-form domain with an attack that helps on one side of the line only."""
    registry.attack("linear/one-side", OneSide)
    return registry


def worst(outcome: Outcome, access: str) -> CellRecord:
    """The worst-of row of an access."""
    (found,) = [r for r in outcome.records if r.attack == f"worst-of:access={access}"]
    return found


def accuracy(record: CellRecord) -> float:
    """The headline."""
    value = record.metrics["accuracy"].value
    assert value is not None
    return value


def test_two_halves_of_an_attack_are_together_as_bad_as_the_whole(sided: Registry, execute: Run) -> None:
    """Pushing right hurts one class, pushing left the other: the worst of both is the closed-form worst case."""
    outcome = execute(attacks=("one-side:sign=1.0", "one-side:sign=-1.0", "worst"), worst_of=True)
    by_name = {record.attack: record for record in outcome.records}
    both = worst(outcome, "none")
    assert accuracy(both) == accuracy(by_name["worst"])
    assert accuracy(both) < min(accuracy(by_name["one-side"]), accuracy(by_name["one-side:sign=-1.0"]))


def test_winners_count_every_example_once(sided: Registry, execute: Run) -> None:
    """The label says which attack was the worst on how many examples."""
    both = worst(execute(attacks=("one-side", "one-side:sign=-1.0"), worst_of=True), "none")
    assert sum(both.winners.values()) == both.n
    assert set(both.winners) == {"one-side", "one-side:sign=-1.0"}


def test_a_row_covers_its_access_and_weaker_ones(execute: Run) -> None:
    """Score access covers random corners and the score attack, white-box access all three."""
    outcome = execute(attacks=("worst", "random-search", "random-corner"), worst_of=True)
    assert worst(outcome, "score").threat.endswith("random-search, random-corner")
    assert "worst, random-search, random-corner" in worst(outcome, "white-box").threat
    assert accuracy(worst(outcome, "white-box")) <= accuracy(worst(outcome, "score"))


def test_a_single_attack_has_no_worst_of_row(plan: Callable[..., Plan]) -> None:
    """The worst of one attack is that attack."""
    assert all(not cell.members for cell in plan(attacks="worst", worst_of=True).cells)


def test_budgets_are_not_mixed(plan: Callable[..., Plan]) -> None:
    """Every budget has its own worst-of row, whose members all spend that budget."""
    cells = plan(attacks=("worst", "random-corner"), budgets=(0.1, 0.5), worst_of=True).cells
    rows = [cell for cell in cells if cell.members]
    assert [cell.budget for cell in rows] == [0.1, 0.5]
    assert all(member.budget == cell.budget for cell in rows for member in cell.members)


def test_the_rows_adversarial_examples_are_the_winners(execute: Run, tmp_path: Path) -> None:
    """What the row keeps as adversarial inputs scores what the row says."""
    outcome = execute(attacks=("worst", "random-corner"), worst_of=True)
    row = worst(outcome, "white-box")
    kept = RunFolder(tmp_path / "run").rows(row.id)
    points = PointData().split("test")
    margin = (torch.from_numpy(kept.adversarial["point"]) * torch.tensor([1.0, -2.0])).sum(1) * points.label
    assert np.array_equal((margin > 0).double().numpy(), kept.columns["accuracy"])


def test_a_failed_member_fails_the_row(registry: Registry, execute: Run) -> None:
    """The worst of all attacks is unknown when one of them did not finish."""

    @dataclass(frozen=True)
    class Raises(OneSide):
        """Never finishes."""

        def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
            raise RuntimeError("no")

    registry.attack("linear/raises", Raises)
    outcome = execute(attacks=("worst", "raises"), worst_of=True)
    row = worst(outcome, "white-box")
    assert row.status == "failed"
    assert "raises did not finish" in (row.error or "")


def test_a_second_run_reads_the_row_from_the_folder(execute: Run) -> None:
    """The same experiment again computes nothing."""
    fields = {"attacks": ("worst", "random-corner"), "worst_of": True}
    first = execute(**fields)
    second = execute(**fields)
    assert second.from_cache == len(second.records)
    assert worst(second, "white-box") == worst(first, "white-box")


def part(headline: list[float], **columns: list[float]) -> Rows:
    """Outcomes of two examples."""
    texts = {
        "example": ["a", "b"],
        "cluster": ["a", "b"],
        "group": ["", ""],
        "status": ["ok", "ok"],
        "note": ["", ""],
    }
    numbers = {"ade": headline} | columns
    return Rows(texts, {name: np.asarray(values) for name, values in numbers.items()}, {}, {})


def test_nan_never_wins_and_ties_go_to_the_first() -> None:
    """A NaN headline loses to any number; equal harm keeps the earlier attack's row."""
    clean: Batch = PointData(2).split("test")
    rows, winner = worst_rows([part([1.0, float("nan")]), part([1.0, 0.5])], "ade", True, clean)
    assert winner == [0, 1]
    assert rows.columns["ade"].tolist() == [1.0, 0.5]


def test_columns_of_one_attack_only_are_nan_elsewhere() -> None:
    """A value that the winner does not have is unknown, not another attack's."""
    clean: Batch = PointData(2).split("test")
    rows, _ = worst_rows([part([2.0, 0.0], extra=[7.0, 7.0]), part([1.0, 1.0])], "ade", True, clean)
    assert rows.columns["extra"][0] == 7.0
    assert np.isnan(rows.columns["extra"][1])
