"""Security curves: grids of budgets, and curves that are read off one run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from robeval import Attack, Draws, View
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import Plan
from robeval.engine.run import Outcome
from robeval.errors import ExperimentError
from robeval.plugins.registry import Registry
from robeval.plugins.threat import Budget, ThreatModel
from robeval.testing.linear import WEIGHT, Points

Run = Callable[..., Outcome]
ASKED: list[float] = []


@dataclass(frozen=True)
class Nearest(Attack[Points]):
    """Moves each point just over the line, if the budget reaches: the smallest perturbation there is."""

    threat = ThreatModel("white-box", Budget("distance", "", 0.5))
    minimal = True

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        ASKED.append(budget)
        point = batch.point.clone().requires_grad_()
        score = view(batch.replace(point=point))
        (slope,) = torch.autograd.grad(score.sum(), point)
        need = (score.detach() * batch.label / slope.abs().sum(1)).clamp_min(0) + 1e-3
        step = torch.where(need <= budget, need, torch.zeros_like(need))
        return batch.replace(point=batch.point - (step * batch.label).unsqueeze(1) * slope.sign())


@dataclass(frozen=True)
class NearestEach(Nearest):
    """The same, run at every budget."""

    minimal = False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("log:0.01:1:3", (0.01, 0.1, 1.0)),
        ("lin:0:1:3", (0.0, 0.5, 1.0)),
        (["1", 0.5, "log:0.25:1:3"], (0.25, 0.5, 1.0)),
        (0.3, (0.3,)),
        ([1, 0.1, 1], (0.1, 1.0)),
    ],
)
def test_budgets_are_numbers_or_grids_in_ascending_order(given: Any, expected: tuple[float, ...]) -> None:
    """Grids are spelled out, doubles are dropped, and the smallest comes first."""
    assert build_experiment(budgets=given).budgets == pytest.approx(expected)


@pytest.mark.parametrize(
    "given", ["log:0:1:3", "log:1:0.1:3", "log:0.1:1:1", "log:0.1:1", "cubic:0:1:3", "log:a:b:c"]
)
def test_a_grid_that_means_nothing_is_refused(given: str) -> None:
    """The message quotes the grid and shows a right one."""
    with pytest.raises(ExperimentError, match=r"log:0\.01:1:6"):
        build_experiment(budgets=given)


@pytest.mark.parametrize("given", [-1.0, "inf", "x"])
def test_a_budget_must_be_a_finite_number(given: Any) -> None:
    """Negative, infinite and wordy budgets are refused."""
    with pytest.raises(ExperimentError, match="budgets"):
        build_experiment(budgets=given)


def test_minimal_perturbations_give_the_whole_curve_from_one_run(registry: Registry, execute: Run) -> None:
    """Only the largest budget is attacked, and every point equals the one that is attacked at its own budget."""
    registry.attack("linear/nearest", Nearest)
    registry.attack("linear/nearest-each", NearestEach)
    ASKED.clear()
    once = execute(out="once", attacks="nearest", budgets=(0.1, 0.3, 1.0))
    assert ASKED == [1.0]
    each = execute(out="each", attacks="nearest-each", budgets=(0.1, 0.3, 1.0))
    shown, expected = ([r.metrics["accuracy"].value for r in o.records] for o in (once, each))
    assert shown == expected
    assert len(set(shown)) == 3
    assert [r.cost.forward for r in once.records] == [0, 0, 1]


def test_a_curve_warm_starts_nothing(plan: Callable[..., Plan], registry: Registry) -> None:
    """An attack that is not minimal has an independent cell for every budget."""
    registry.attack("linear/nearest-each", NearestEach)
    assert all(cell.source is None for cell in plan(attacks="nearest-each", budgets=(0.1, 1.0)).cells)


def test_closed_form_holds_at_every_point_of_the_curve(execute: Run) -> None:
    """Accuracy at each budget is the share of margins beyond budget times |weight|_1."""
    from robeval.testing.linear import PointData

    points = PointData().split("test")
    margin = ((points.point * torch.tensor(WEIGHT)).sum(1) * points.label).double()
    for record in execute(attacks="worst", budgets="log:0.05:1:5").records:
        assert record.metrics["accuracy"].value == pytest.approx(
            (margin > record.budget.value * 3).double().mean().item()
        )
