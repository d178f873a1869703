"""Training nodes: each trained once, defended as asked, the same whenever it is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from robeval import Defense, Registry, Seed
from robeval.engine.cache import Cache
from robeval.engine.experiment import Execution
from robeval.engine.plan import NONE, Fit, Plan, PluginSpec
from robeval.engine.progress import Watcher
from robeval.engine.train import Trainings
from robeval.errors import RobevalError
from robeval.plugins.victim import RobustTraining

POINTS = PluginSpec(name="points")
FITTED = PluginSpec(name="fitted-line", options={"steps": 30})


class Counting(Watcher):
    """Remembers what was worked on."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[str] = []

    def started(self, label: str) -> None:
        self.work.append(label)


@pytest.fixture
def watcher() -> Counting:
    """A watcher with a memory."""
    return Counting()


@pytest.fixture
def trainings(plan: Callable[..., Plan], cache: Cache, watcher: Counting) -> Callable[[], Trainings]:
    """Fresh trainings over one cache, as new processes would have them."""
    return lambda: Trainings(plan().catalog, cache, Execution(accelerator="cpu"), watcher)


def test_a_victim_is_trained_once(trainings: Callable[[], Trainings], watcher: Counting) -> None:
    """A second process reads the weights that the first one stored."""
    fit = Fit(POINTS, FITTED, 0)
    first, second = trainings().victim(fit), trainings().victim(fit)
    assert len(watcher.work) == 1
    assert torch.equal(first.weight, second.weight)  # type: ignore[arg-type]
    assert not first.training


def test_training_again_gives_the_same_weights(
    trainings: Callable[[], Trainings], cache: Cache, watcher: Counting
) -> None:
    """Weights depend on the seed and on no global state."""
    fit = Fit(POINTS, FITTED, 0)
    first = trainings().victim(fit).weight.clone()  # type: ignore[operator]
    for path in (cache.folder / "victims").rglob("weights.safetensors"):
        path.unlink()
    torch.manual_seed(123)
    torch.rand(5)
    again = trainings().victim(fit).weight
    assert len(watcher.work) == 2
    assert torch.equal(first, again)  # type: ignore[arg-type]
    other = trainings().victim(Fit(POINTS, FITTED, 1)).weight
    assert not torch.equal(first, other)  # type: ignore[arg-type]


def test_training_leaves_the_global_generator_alone(trainings: Callable[[], Trainings]) -> None:
    """A user's own random numbers are the same with and without a training in between."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainings().victim(Fit(POINTS, FITTED, 0))
    assert torch.equal(torch.rand(3), expected)


class Weighted(RobustTraining):
    """The victim's loss and a pull of the weights to zero."""

    def objective(self, batch: Any) -> Tensor:
        return self.victim.loss(batch) + 100 * (self.victim.weight**2).sum()  # type: ignore[operator]


@dataclass(frozen=True)
class Shrink(Defense):
    """A robust training method. Source: this test."""

    warm_start = True
    starts: ClassVar[list[Tensor]] = []

    def robustify(self, victim: Any, data: Any, seed: Seed) -> Any:
        self.starts.append(victim.weight.detach().clone())
        return Weighted(victim, steps=60)


@dataclass(frozen=True)
class Diverge(Defense):
    """A training that breaks. Source: this test."""

    def robustify(self, victim: Any, data: Any, seed: Seed) -> Any:
        module = Weighted(victim, steps=1)
        module.objective = lambda batch: victim.loss(batch) * torch.nan  # type: ignore[method-assign]
        return module


def test_a_robust_training_replaces_the_objective(
    registry: Registry, trainings: Callable[[], Trainings], watcher: Counting
) -> None:
    """The defense's objective trains the victim inside it, from the undefended weights when it asks for them."""
    registry.defense("linear/shrink", Shrink)
    made = trainings()
    plain = made.victim(Fit(POINTS, FITTED, 0)).weight
    shrunk = made.victim(Fit(POINTS, FITTED, 0, PluginSpec(name="shrink"))).weight
    assert torch.equal(Shrink.starts[-1], plain)  # type: ignore[arg-type]
    assert shrunk.norm() < 0.5 * plain.norm()  # type: ignore[operator]
    assert len(watcher.work) == 2


def test_a_diverged_training_is_an_error(
    registry: Registry, trainings: Callable[[], Trainings], cache: Cache
) -> None:
    """NaN weights are said with their names and never cached."""
    registry.defense("linear/diverge", Diverge)
    with pytest.raises(RobevalError, match=r"diverged .*weight"):
        trainings().victim(Fit(POINTS, FITTED, 0, PluginSpec(name="diverge")))
    assert not list((cache.folder / "victims").rglob("*.safetensors"))


def test_a_surrogate_of_the_same_name_has_other_weights(trainings: Callable[[], Trainings]) -> None:
    """Transfer from the same architecture is transfer, not white box."""
    made = trainings()
    victim, surrogate = (
        made.victim(Fit(POINTS, FITTED, 0, NONE, role=role)) for role in ("victim", "surrogate")
    )
    assert not torch.equal(victim.weight, surrogate.weight)  # type: ignore[arg-type]
