"""Views: an attack sees its grant and nothing else, and every question is counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robeval.arrays import Batch
from robeval.errors import AccessError, QueryBudgetSpent
from robeval.plugins.contracts import Domain, Trial
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import Access, Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Noise, Seed

IDS = ("a", "b", "c")


@dataclass(frozen=True)
class Points(Batch):
    """One point in the plane per example."""

    at: Tensor


class Plane(Domain[Points]):
    """A domain whose victims answer a score per example and whose decisions are its sign."""

    name = "plane"
    summary = "Points in the plane."
    batch = Points
    metrics = ()

    def score(self, trial: Trial[Points]) -> Mapping[str, Tensor]:
        return {}

    def spent(self, clean: Points, adversarial: Points) -> Mapping[str, Tensor]:
        return {}

    def answer(self, output: Any) -> Tensor:
        return output

    def reveal(self, output: Any, access: str) -> Any:
        return output.sign() if access == "decision" else output


class Victim(nn.Module):
    """Answers the sum of a function of the coordinates, times a weight."""

    def __init__(self, function: Callable[[Tensor], Tensor] = torch.Tensor.square) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.seen_rounds: list[int] = []
        self.noise = Noise(Seed(0))

    def forward(self, batch: Points) -> Tensor:
        self.seen_rounds.append(self.noise.round)
        return self.function(batch.at).sum(dim=1) * self.weight


def view_of(access: Access, victim: nn.Module | None = None, queries: int | None = None) -> View[Points]:
    """A view on three examples."""
    threat = ThreatModel(access=access, budget=Budget("shift", "m", 1.0), queries=queries)
    return View(victim or Victim(), Plane(), threat, IDS)


def points(*names: str, requires_grad: bool = False) -> Points:
    """The named examples at (1, 1), (2, 2), (3, 3)."""
    names = names or IDS
    at = torch.tensor([[1.0 + IDS.index(name)] * 2 for name in names])
    return Points(names, at.requires_grad_(requires_grad))


@pytest.mark.parametrize("access", ["none", "data", "weights"])
def test_a_view_without_a_grant_refuses_to_answer(access: Access) -> None:
    """The message names the grant, and nothing is counted."""
    view = view_of(access)
    with pytest.raises(AccessError, match=f"access '{access}'"):
        view(points())
    assert view.forward_rows == 0


@pytest.mark.parametrize("access", ["none", "score", "decision", "rank"])
def test_only_white_box_access_reaches_the_module(access: Access) -> None:
    """Reaching for weights raises under any other access."""
    with pytest.raises(AccessError, match="reached for the module"):
        _ = view_of(access).module
    victim = Victim()
    assert view_of("white-box", victim).module is victim


def test_black_box_answers_carry_no_gradient() -> None:
    """Even when the attack asks with a tensor that requires one."""
    answer = view_of("score")(points(requires_grad=True))
    assert not answer.requires_grad
    assert answer.tolist() == [4.0, 16.0, 36.0]


def test_decision_access_reveals_what_the_domain_says() -> None:
    """A decision is the sign in this domain."""
    assert view_of("decision")(points()).tolist() == [1.0, 1.0, 1.0]


def test_white_box_answers_have_the_true_gradient() -> None:
    """The view observes gradients without changing them: d(2 x²)/dx = 4 x."""
    batch = points(requires_grad=True)
    (slope,) = torch.autograd.grad(view_of("white-box")(batch).sum(), batch.at)
    torch.testing.assert_close(slope, 4 * batch.at.detach())


def test_every_row_is_a_query_of_its_example() -> None:
    """Repeated rows of one example all count, in one call and over several."""
    view = view_of("score")
    view(points("a", "a", "b"))
    view(points("a"))
    assert view.queries.tolist() == [3, 1, 0]
    assert view.forward_rows == 4
    assert view.backward_rows == 0


def test_backward_rows_are_counted_when_a_gradient_flows() -> None:
    """Asking costs forward passes; only differentiating costs backward ones."""
    view = view_of("white-box")
    batch = points("a", "b", requires_grad=True)
    answer = view(batch)
    assert (view.forward_rows, view.backward_rows) == (2, 0)
    torch.autograd.grad(answer.sum(), batch.at)
    assert (view.forward_rows, view.backward_rows) == (2, 2)


def test_the_query_budget_stops_the_attack_before_the_victim_is_asked() -> None:
    """The question that would exceed the limit of one example is neither answered nor counted."""
    victim = Victim()
    view = view_of("score", victim, queries=2)
    view(points("a", "b"))
    view(points("a"))
    assert view.remaining == 0
    assert view.left(points("a", "b", "c")).tolist() == [0, 1, 2]
    with pytest.raises(QueryBudgetSpent, match="budget of 2"):
        view(points("a"))
    with pytest.raises(AccessError, match=r"view\.left"):
        view(points("a", "c"))
    assert view.queries.tolist() == [2, 1, 0]
    assert len(victim.seen_rounds) == 2
    view(points("c"))
    assert view.queries.tolist() == [2, 1, 1]


def test_without_a_limit_there_is_no_remainder() -> None:
    """None stands for unlimited."""
    assert view_of("score").remaining is None


def test_an_example_outside_the_batch_cannot_be_asked_about() -> None:
    """Ids are how queries are counted, so an invented one is refused."""
    with pytest.raises(AccessError, match="'z'"):
        view_of("score")(Points(("z",), torch.zeros(1, 2)))


def slopes(function: Callable[[Tensor], Tensor], batch: Points) -> dict[str, float]:
    """What a view observes while an attack differentiates through a victim."""
    victim = Victim(function)
    view = view_of("white-box", victim)
    with under_attack(victim):
        torch.autograd.grad(view(batch).sum(), batch.at)
    return view.observations()


def test_zero_gradients_are_observed() -> None:
    """A victim that rounds its input has no slope at any example."""
    seen = slopes(torch.round, points(requires_grad=True))
    assert (seen["gradient_examples"], seen["zero_gradient_examples"]) == (3, 3)


def test_a_victim_that_cuts_the_graph_counts_as_flat() -> None:
    """Detaching does not crash the attack; it shows up as a zero gradient."""
    seen = slopes(torch.Tensor.detach, points(requires_grad=True))
    assert (seen["gradient_examples"], seen["zero_gradient_examples"]) == (3, 3)


def test_an_example_is_flat_only_if_every_question_was() -> None:
    """One question with a slope is enough: relu is flat at -1 and not at 1."""
    view = view_of("white-box", Victim(torch.relu))
    for sign in (-1.0, 1.0):
        batch = Points(("a", "b"), torch.tensor([[sign, sign], [-1.0, -1.0]], requires_grad=True))
        torch.autograd.grad(view(batch).sum(), batch.at)
    assert view.observations()["zero_gradient_examples"] == 1


def test_nan_gradients_are_observed() -> None:
    """The slope of a square root is NaN times zero at the origin: only that example is broken."""
    batch = Points(("a", "b"), torch.tensor([[0.0, 0.0], [4.0, 4.0]], requires_grad=True))
    seen = slopes(lambda x: x.sqrt() * (x > 0), batch)
    assert (seen["gradient_examples"], seen["nan_gradient_examples"]) == (2, 1)


def test_a_healthy_gradient_raises_no_alarm() -> None:
    """A parabola away from its bottom is neither flat nor broken."""
    seen = slopes(torch.Tensor.square, points(requires_grad=True))
    assert (seen["zero_gradient_examples"], seen["nan_gradient_examples"]) == (0, 0)


def test_other_variables_can_be_watched() -> None:
    """An attack on embeddings tells the view which rows its variable belongs to."""
    view = view_of("white-box")
    latent = torch.zeros(2, 4, requires_grad=True)
    (view.watch(latent, points("a", "c")) * 0).sum().backward()
    seen = view.observations()
    assert (seen["gradient_examples"], seen["zero_gradient_examples"]) == (2, 2)


def test_notes_are_kept_per_example() -> None:
    """An example has a note if any of its rows was given it."""
    view = view_of("none")
    view.note("stationary", points("b", "c", "b"), torch.tensor([False, False, True]))
    view.note("stationary", points("a"), torch.tensor([False]))
    assert view.notes["stationary"].tolist() == [False, True, False]


def test_measures_are_kept_per_example() -> None:
    """What an attack measures stands with its example; the others have none."""
    view = view_of("none")
    view.measure("agreement", points("c", "a"), torch.tensor([0.25, 1.0]))
    assert view.measures["agreement"][[0, 2]].tolist() == [1.0, 0.25]
    assert view.measures["agreement"][1].isnan()


def test_every_question_meets_fresh_noise_and_the_evaluation_meets_round_zero() -> None:
    """An attacker never sees the noise that it is judged under."""
    victim = Victim()
    view = view_of("score", victim)
    with under_attack(victim):
        view(points())
        view(points())
    assert victim.seen_rounds == [2, 3]
    assert victim.noise.round == 0


def test_weights_are_frozen_under_attack_and_restored_afterwards() -> None:
    """Also when the attack fails, and parameters that were frozen before stay frozen."""
    victim = Victim()
    victim.still = nn.Parameter(torch.zeros(1), requires_grad=False)
    during: list[bool] = []

    def attack() -> None:
        with torch.no_grad(), under_attack(victim):
            during.extend([torch.is_grad_enabled(), victim.weight.requires_grad])
            raise ValueError("attack failed")

    with pytest.raises(ValueError, match="attack failed"):
        attack()
    assert during == [True, False]
    assert victim.weight.requires_grad
    assert not victim.still.requires_grad


class Jittery(nn.Module):
    """Answers with the sum of the coordinates plus what its noise says."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise(Seed(0))

    def forward(self, batch: Points) -> Tensor:
        return batch.at.sum(dim=1) + self.noise(batch.ids).normal(1).squeeze(1)


def test_draws_of_a_random_victim_are_averaged_and_counted() -> None:
    """A white-box answer over many draws is close to the mean, and each draw is a pass and a query."""
    at = torch.zeros(3, 2)
    view = View(Jittery(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS, draws=400)
    answer = view(Points(IDS, at))
    assert answer.abs().max() < 0.3
    assert view.queries.tolist() == [400] * 3
    single = View(Jittery(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS)
    assert single(Points(IDS, at)).abs().max() > 0.3


def test_draws_are_for_white_box_attackers_and_random_victims_only() -> None:
    """A score attacker averages by itself, and a victim without noise needs no second look."""
    score = View(Jittery(), Plane(), ThreatModel("score", Budget("d", "", 1.0)), IDS, draws=5)
    score(Points(IDS, torch.zeros(3, 2)))
    assert score.queries.tolist() == [1] * 3

    class Quiet(nn.Module):
        def forward(self, batch: Points) -> Tensor:
            return batch.at.sum(dim=1)

    quiet = View(Quiet(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS, draws=5)
    quiet(Points(IDS, torch.zeros(3, 2)))
    assert quiet.queries.tolist() == [1] * 3


def test_a_total_limits_all_questions_together() -> None:
    """Two rows too many are refused before they are asked."""
    view = View(Victim(), Plane(), ThreatModel("score", Budget("d", "", 1.0)), IDS, total=4)
    batch = Points(IDS, torch.zeros(3, 2))
    view(batch)
    with pytest.raises(QueryBudgetSpent, match="4 questions"):
        view(batch)
    assert int(view.queries.sum()) == 3


class Alarmed(nn.Module):
    """A victim with a detector that fires above a coordinate sum of 1."""

    def forward(self, batch: Points) -> Tensor:
        return batch.at.sum(dim=1)

    def alarm(self, batch: Points) -> Tensor:
        return batch.at.sum(dim=1) - 1.0


def test_alarms_of_all_detectors_add_up_and_are_differentiable() -> None:
    """Below the threshold the alarm is 0; above it the gradient leads back."""
    view = View(nn.Sequential(Alarmed()), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS)
    at = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.5]]).requires_grad_()
    alarm = view.alarm(Points(IDS, at))
    assert alarm.tolist() == [0.0, 1.0, 1.5]
    (slope,) = torch.autograd.grad(alarm.sum(), at)
    assert slope.tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]


def test_alarms_are_for_white_box_attackers() -> None:
    """Who has no weights does not see the detector."""
    view = View(Alarmed(), Plane(), ThreatModel("score", Budget("d", "", 1.0)), IDS)
    with pytest.raises(AccessError, match="module"):
        view.alarm(Points(IDS, torch.zeros(3, 2)))


def test_a_trace_says_what_the_last_fifth_of_the_steps_gained() -> None:
    """Traces of several calls add up; the shorter one keeps its last value."""
    view = View(Victim(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS)
    view.trace(torch.arange(11.0))
    observed = view.observations()
    assert (observed["trace_gain"], observed["trace_late_gain"]) == (10.0, 2.0)
    view.trace(torch.tensor([0.0, 5.0]))
    observed = view.observations()
    assert (observed["trace_gain"], observed["trace_late_gain"]) == (15.0, 2.0)


def test_a_short_trace_says_nothing() -> None:
    """Fewer than five steps have no last fifth."""
    view = View(Victim(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS)
    view.trace(torch.arange(4.0))
    assert "trace_gain" not in view.observations()


def test_the_original_comes_with_white_box_access_only() -> None:
    """The undefended victim is made when asked for, and refused to everybody else."""
    threat = ThreatModel("white-box", Budget("d", "", 1.0))
    victim = Victim()
    assert View(Alarmed(), Plane(), threat, IDS, original=lambda: victim).original is victim
    with pytest.raises(AccessError, match="score"):
        _ = View(
            Alarmed(), Plane(), ThreatModel("score", Budget("d", "", 1.0)), IDS, original=lambda: victim
        ).original


def test_a_vanishing_slope_counts_as_none() -> None:
    """A slope that no float32 step could follow is reported like a zero."""
    view = View(Victim(lambda at: at * 1e-30), Plane(), ThreatModel("white-box", Budget("d", "", 1.0)), IDS)
    at = torch.ones(3, 2).requires_grad_()
    torch.autograd.grad(view(Points(IDS, at)).sum(), at)
    assert view.observations()["zero_gradient_examples"] == 3


def test_a_watched_variable_is_a_question() -> None:
    """What is pushed through the module by another way counts forward, backward and as a query, within the limit."""
    view = View(Victim(), Plane(), ThreatModel("white-box", Budget("d", "", 1.0), queries=1), IDS)
    batch = Points(IDS, torch.zeros(3, 2))
    latent = torch.ones(3, 5).requires_grad_()
    view.watch(latent, batch).sum().backward()
    observed = view.observations()
    assert (observed["forward"], observed["backward"], observed["queries"]) == (3, 3, 3)
    with pytest.raises(QueryBudgetSpent):
        view.watch(latent, batch)
