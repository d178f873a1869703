"""What an attack measures of itself, and which questions the evaluation need not ask again."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from robeval import Attack, Draws, View
from robeval.engine.run import Outcome
from robeval.plugins.registry import Registry
from robeval.plugins.threat import Budget, ThreatModel
from robeval.report.findings import spent
from robeval.testing.linear import Line, Points

Run = Callable[..., Outcome]
ASKED: list[int] = []


@dataclass(frozen=True)
class Gauge(Attack[Points]):
    """Touches nothing and measures the side that every point is on."""

    threat = ThreatModel("score", Budget("distance", "", 0.0))
    perturbs = False

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        view.measure("positive", batch, (batch.label > 0).double())
        return batch


@dataclass(frozen=True)
class OnlyPositive(Attack[Points]):
    """Moves the points with a positive label and leaves the others alone."""

    threat = ThreatModel("none", Budget("distance", "", 0.5))

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        step = torch.where(batch.label > 0, -budget, 0.0).unsqueeze(1)
        return batch.replace(point=batch.point + step * torch.tensor([1.0, 0.0]))


class Counting(Line):
    """Remembers how many points every question was about."""

    def forward(self, batch: Points) -> torch.Tensor:
        ASKED.append(len(batch))
        return super().forward(batch)


@pytest.fixture(autouse=True)
def plugins(registry: Registry) -> None:
    """The two attacks and the counting victim."""
    registry.attack("linear/gauge", Gauge)
    registry.attack("linear/only-positive", OnlyPositive)
    registry.victim("linear/counting", Counting)
    ASKED.clear()


def test_a_measured_figure_is_recorded_with_its_interval_and_told(execute: Run) -> None:
    """The mean over the examples is the share that the attack saw; the report says it beside the attack's cost."""
    (record,) = execute(attacks="gauge").records
    figure = record.measures["positive"]
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert figure.n == record.n
    (line,) = spent([record])
    assert any(said.startswith(f"positive {figure.value:.2f} [") for said in line.remarks())


def test_an_attack_that_only_measures_is_not_suspicious(execute: Run) -> None:
    """A budget of zero is no sign of a weak attack where nothing is attacked."""
    (record,) = execute(attacks="gauge").records
    assert record.verdict == "ok"


def test_the_victim_is_asked_again_for_changed_examples_only(execute: Run) -> None:
    """Examples that an attack leaves alone keep their clean answers, and the figures are those of asking for all."""
    (record,) = execute(attacks="only-positive", victims="counting").records
    moved = round(record.n * execute(attacks="gauge", out="gauge").records[0].measures["positive"].value)  # type: ignore[operator]
    assert moved < record.n
    assert moved in ASKED
    other = execute(attacks="only-positive", out="line").records[0]
    assert record.metrics == other.metrics
