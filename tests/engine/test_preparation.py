"""Preparations: what an attacker learns before it meets the examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from robeval import Attack, Draws, Seed, View
from robeval.engine.run import Outcome
from robeval.errors import QueryBudgetSpent
from robeval.plugins.contracts import Preparation
from robeval.plugins.data import Dataset
from robeval.plugins.registry import Registry
from robeval.plugins.threat import Budget, ThreatModel
from robeval.testing.linear import Points

Run = Callable[..., Outcome]
CALLS: list[int] = []


@dataclass(frozen=True)
class Imitate(Preparation):
    """Fits a line to the victim's decisions on training points."""

    most: int = 32

    @property
    def queries(self) -> int:
        return self.most

    def __call__(self, view: View[Any], data: Dataset, seed: Seed) -> torch.Tensor:
        CALLS.append(self.most)
        points = data.split("train")
        assert isinstance(points, Points)
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        try:
            for start in range(0, len(points), 8):
                part = points.select(slice(start, start + 8))
                seen.append((part.point, view(part)))
        except QueryBudgetSpent:
            pass
        at, decided = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return torch.linalg.lstsq(at, decided.unsqueeze(1)).solution.squeeze(1)


@dataclass(frozen=True)
class Imitation(Attack[Points]):
    """Steps against an imitated line."""

    threat = ThreatModel("decision", Budget("distance", "", 0.5))
    most: int = 32
    label: str = ""

    @property
    def preparation(self) -> Preparation:
        return Imitate(self.most)

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        return batch.replace(point=batch.point - budget * batch.label.unsqueeze(1) * view.prepared.sign())


@dataclass(frozen=True)
class Asking(Imitation):
    """Also asks the victim about every example."""

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        view(batch)
        return super().perturb(view, batch, budget, draw)


@pytest.fixture(autouse=True)
def imitation(registry: Registry) -> None:
    """The attack, and no calls so far."""
    registry.attack("linear/imitation", Imitation)
    registry.attack("linear/asking", Asking)
    CALLS.clear()


def test_an_imitated_line_is_as_good_as_the_real_one(execute: Run) -> None:
    """Signs of the weights learnt from decisions give the closed-form worst case."""
    records = {r.attack: r for r in execute(attacks=("worst", "imitation")).records}
    assert records["imitation"].metrics["accuracy"] == records["worst"].metrics["accuracy"]


def test_questions_of_the_preparation_are_counted_apart_and_limited(execute: Run) -> None:
    """The total is what the preparation asked, and never above its limit; the examples cost nothing."""
    (record,) = execute(attacks="imitation").records
    assert record.cost.prepared_queries == 32
    assert record.cost.queries == 0
    (fewer,) = execute(out="fewer", attacks="imitation:most=20").records
    assert fewer.cost.prepared_queries == 16  # two questions of eight; a third would be over


def test_work_on_what_was_learnt_is_no_overhead(execute: Run) -> None:
    """Seconds spent on an imitation are not compared with the victim's passes: there is no overhead to tell."""
    (record,) = execute(attacks="asking").records
    assert record.cost.forward == 1
    assert record.cost.overhead is None


def test_equal_preparations_are_done_once_for_each_victim(execute: Run) -> None:
    """Two attacks that learn the same of the same victim share it; another victim is learnt anew."""
    execute(attacks=("imitation", "imitation:label=x", "imitation:most=16"), victims=("line", "fitted-line"))
    assert sorted(CALLS) == [16, 16, 32, 32]


def test_each_seed_learns_for_itself(execute: Run) -> None:
    """Seeds are independent repetitions."""
    execute(attacks="imitation", seeds=2)
    assert CALLS == [32, 32]


def test_a_preparation_may_not_see_test_examples(registry: Registry, execute: Run) -> None:
    """The data it gets refuses the split that it will be judged on."""

    @dataclass(frozen=True)
    class Peek(Imitate):
        def __call__(self, view: View[Any], data: Dataset, seed: Seed) -> Any:
            return data.split("test")

    @dataclass(frozen=True)
    class Peeking(Imitation):
        """Looks ahead."""

        @property
        def preparation(self) -> Preparation:
            return Peek()

    registry.attack("linear/peeking", Peeking)
    (record,) = execute(attacks="peeking").records
    assert record.status == "failed"
    assert "test split" in (record.error or "")
