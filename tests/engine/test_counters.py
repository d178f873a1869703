"""Following a gradient through a victim, and getting past where it is lost."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robeval.arrays import Batch
from robeval.engine.counters import StraightThrough, locate, merged, probe
from robeval.seeding import Noise, Seed
from robeval.testing.linear import Line, LinearDomain, PointData, Points


class Rounded(nn.Module):
    """A stage that is a module of its own."""

    def forward(self, batch: Points) -> Points:
        return batch.replace(point=torch.round(batch.point))


class Inside(nn.Module):
    """A victim with a lossy layer inside: tensor in, tensor out."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        super().__init__()

        class Layer(nn.Module):
            def forward(self, value: Tensor) -> Tensor:
                return rule(value)

        self.first = nn.Linear(2, 2)
        self.lossy = Layer()
        self.last = nn.Linear(2, 1)

    def forward(self, batch: Points) -> Tensor:
        return self.last(self.lossy(self.first(batch.point))).squeeze(1)


class Before(nn.Module):
    """A victim behind a stage."""

    def __init__(self, stage: nn.Module, victim: nn.Module) -> None:
        super().__init__()
        self.stage, self.victim = stage, victim

    def forward(self, batch: Points) -> Tensor:
        answer: Tensor = self.victim(self.stage(batch))
        return answer


class Hidden(nn.Module):
    """A lossy step that is no module, and answers in another form than the victim."""

    def __init__(self, victim: nn.Module, double: bool = False) -> None:
        super().__init__()
        self.victim, self.double = victim, double

    def forward(self, batch: Points) -> Tensor:
        answer: Tensor = self.victim(batch.replace(point=torch.round(batch.point)))
        return torch.stack([answer, answer], dim=1) if self.double else answer


class Noisy(nn.Module):
    """A victim whose slope is mostly noise."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise(Seed(0))

    def forward(self, batch: Points) -> Tensor:
        return (batch.point * (0.1 + self.noise(batch.ids).normal(2))).sum(dim=1)


@pytest.fixture
def batch() -> Batch:
    """Some points."""
    return PointData(16).split("test")


def slope(victim: nn.Module, batch: Points) -> Tensor:
    """The derivative of the answers by the points."""
    point = batch.point.clone().requires_grad_()
    (found,) = torch.autograd.grad(victim(batch.replace(point=point)).sum(), point)
    return found


def test_a_victim_without_a_lossy_stage_loses_nothing(batch: Points) -> None:
    """The line passes its slope on: nothing is located, every example has a slope, two looks agree."""
    found = probe(Line(), LinearDomain(), batch)
    assert (found.lost_at, found.flat_share) == (None, 0.0)
    assert found.agreement == pytest.approx(1.0)
    assert found.norm == pytest.approx(5**0.5)


@pytest.mark.parametrize(
    ("victim", "where"),
    [
        (Before(Rounded(), Line()), "stage"),
        (Inside(torch.round), "lossy"),
        (Inside(lambda value: torch.tanh(1e4 * (value + 10))), "lossy"),
        (Hidden(Line()), ""),
        (Before(nn.Identity(), Hidden(Line())), "victim"),
    ],
)
def test_the_innermost_module_that_loses_the_slope_is_named(
    batch: Points, victim: nn.Module, where: str
) -> None:
    """A rounding stage, a lossy or saturated layer, or the whole where the step is no module of its own."""
    assert locate(victim, Line(), LinearDomain(), batch) == where


def test_a_cut_graph_is_lost_as_a_whole(batch: Points) -> None:
    """A victim that detaches its input has no module to name."""

    class Cut(Line):
        def forward(self, batch: Points) -> Tensor:
            return super().forward(batch.replace(point=batch.point.detach()))

    found = probe(Cut(), LinearDomain(), batch)
    assert (found.lost_at, found.flat_share) == ("", 1.0)


def test_two_draws_of_noise_disagree_and_their_averages_agree(batch: Points) -> None:
    """A slope that is mostly noise has a low cosine between draws, a higher one between means of many."""
    single = probe(Noisy(), LinearDomain(), batch)
    averaged = probe(Noisy(), LinearDomain(), batch, draws=400)
    assert abs(single.agreement) < 0.9 < averaged.agreement


@pytest.mark.parametrize("victim", [Before(Rounded(), Line()), Hidden(Line())])
def test_straight_through_answers_as_defended_with_the_slope_of_the_victim(
    batch: Points, victim: nn.Module
) -> None:
    """Answers stay the defended ones bit for bit; the slope is the line's."""
    soft = Line()
    relayed = StraightThrough(victim, soft, locate(victim, soft, LinearDomain(), batch))
    assert torch.allclose(relayed(batch), victim(batch), atol=1e-6)
    assert (slope(victim, batch) == 0).all()
    assert torch.equal(slope(relayed, batch), slope(soft, batch))


def test_another_form_of_answer_leaves_the_undefended_victim(batch: Points) -> None:
    """Where defended and undefended answers differ in shape the attacker follows the undefended one."""
    relayed = StraightThrough(Hidden(Line(), double=True), Line(), "")
    assert torch.equal(relayed(batch), Line()(batch))


def test_the_relay_is_gone_after_the_call(batch: Points) -> None:
    """The stage itself keeps its zero slope for everybody else."""
    victim = Before(Rounded(), Line())
    StraightThrough(victim, Line(), "stage")(batch)
    assert (slope(victim, batch) == 0).all()


def test_merged_keeps_whole_numbers() -> None:
    """Integer leaves cannot carry a gradient and stay as they are."""
    exact, passed = (torch.tensor([1, 2]), torch.ones(2)), (torch.tensor([3, 4]), torch.zeros(2))
    found = merged(exact, passed)
    assert found[0].tolist() == [1, 2]
    assert found[1].tolist() == [1.0, 1.0]
