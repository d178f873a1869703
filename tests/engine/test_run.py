"""A run from experiment to records, on a domain whose figures are known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from robeval import Attack, Budget, Defense, Draws, Noise, Seed, ThreatModel, View
from robeval.arrays import straight_through
from robeval.engine.plan import Plan
from robeval.engine.run import Outcome
from robeval.errors import UsageError
from robeval.plugins.registry import Registry
from robeval.results.records import CellRecord
from robeval.testing.linear import WEIGHT, Line, PointData, Points

Run = Callable[..., Outcome]
DISTANCE = Budget("distance", "", 0.5)


def the(outcome: Outcome, attack: str, defense: str = "none", **more: Any) -> CellRecord:
    """The one record of a pair."""
    found = [
        r
        for r in outcome.records
        if r.attack.split(":")[0] == attack
        and r.defense == defense
        and all(getattr(r, k) == v for k, v in more.items())
    ]
    assert len(found) == 1, found
    return found[0]


def value(record: CellRecord, metric: str = "accuracy") -> float:
    """A figure that must exist."""
    found = record.metrics[metric].value
    assert found is not None
    return found


def test_worst_case_accuracy_is_the_closed_form(execute: Run) -> None:
    """Robust accuracy is the share of points whose margin exceeds budget times |weight|_1."""
    outcome = execute(attacks=("none", "worst"))
    points = PointData().split("test")
    margin = ((points.point * torch.tensor(WEIGHT)).sum(1) * points.label).double()
    expected = (margin > 0.5 * 3).double().mean().item()
    assert value(the(outcome, "worst")) == pytest.approx(expected)
    assert value(the(outcome, "none")) == 1.0
    assert outcome.exit_code(strict=True) == 0


def test_a_budget_sweep_gives_a_row_per_budget(execute: Run) -> None:
    """Each budget is a cell of its own and more budget never helps the defender."""
    outcome = execute(attacks="worst", budgets=(0.1, 0.5, 1.0))
    accuracies = [value(the(outcome, "worst", budget=r.budget)) for r in outcome.records]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(set(accuracies)) == 3


def test_the_threat_model_names_the_budget_of_its_cell(execute: Run) -> None:
    """What is printed beside a figure is the grant under which it was measured, not the attack's default."""
    outcome = execute(attacks=("worst", "worst:surrogate=fitted-line"), budgets=0.1)
    own, transferred = (record.threat for record in outcome.records)
    assert "distance ≤ 0.1" in own
    assert transferred.startswith(
        "transfer: white-box on the surrogate fitted-line, the victim is never asked; dist"
    )


def test_costs_are_counted_per_example(execute: Run) -> None:
    """One gradient step is one forward pass, one backward pass and one query."""
    cost = the(execute(attacks="worst"), "worst").cost
    assert (cost.forward, cost.backward, cost.queries) == (1, 1, 1)


def test_figures_carry_n_interval_and_groups(execute: Run) -> None:
    """Every figure says over how many examples it was taken, how sure it is, and how groups differ."""
    record = the(execute(attacks="random-corner"), "random-corner")
    figure = record.metrics["margin"]
    assert figure.n == 64
    low, high = figure.low or 0.0, figure.high or 0.0
    assert low < value(record, "margin") < high
    assert record.groups["positive"]["margin"].n + record.groups["negative"]["margin"].n == 64


def test_figures_do_not_depend_on_batch_size(execute: Run) -> None:
    """Random draws belong to examples, so chunks of 7 give what one batch gives."""
    one = execute("one", attacks=("random-corner", "worst"), execution={"batch_size": 64})
    many = execute(
        "many", cache=_other(execute), attacks=("random-corner", "worst"), execution={"batch_size": 7}
    )
    for a, b in zip(one.records, many.records, strict=True):
        assert a.metrics == b.metrics


def _other(execute: Run) -> Any:
    from robeval.engine.cache import Cache

    return Cache(Path(execute.__defaults__[2].folder).with_name("other-cache"))  # type: ignore[attr-defined]


def test_per_example_values_are_kept(execute: Run) -> None:
    """The Parquet file has a row per example with outcome, budget spent and clean headline."""
    outcome = execute(attacks="worst")
    table = pq.read_table(outcome.folder / f"examples/{the(outcome, 'worst').id}.parquet").to_pydict()
    assert len(table["example"]) == 64
    assert max(table["spent.distance"]) == pytest.approx(0.5, abs=1e-5)
    assert set(table["clean.accuracy"]) == {1.0}


def test_a_second_run_comes_from_the_cache(execute: Run) -> None:
    """The same experiment in another folder is not computed again and has the same figures."""
    first = execute("first", attacks=("none", "worst"))
    second = execute("second", attacks=("none", "worst"))
    assert (first.from_cache, second.from_cache) == (0, 2)
    assert [r.metrics for r in first.records] == [r.metrics for r in second.records]
    assert (second.folder / f"examples/{second.records[1].id}.parquet").is_file()


def test_a_damaged_cache_entry_is_made_again(execute: Run, cache: Any) -> None:
    """An entry whose bytes changed is never used."""
    execute("first", attacks="worst")
    for path in (cache.folder / "cells").rglob("cell.json"):
        path.write_text(path.read_text().replace('"value":0', '"value":1'))
    second = execute("second", attacks="worst")
    assert second.from_cache == 0


def test_a_folder_of_another_experiment_is_refused(execute: Run) -> None:
    """Results of two experiments never mix in one folder."""
    execute("run", attacks="worst")
    with pytest.raises(UsageError, match="another experiment"):
        execute("run", attacks="random-corner")


def test_seeds_are_cells_and_train_their_own_victims(execute: Run) -> None:
    """Two seeds of a trained victim are two cells with different weights behind them."""
    outcome = execute(victims="fitted-line", attacks="none", seeds=2)
    margins = {value(record, "margin") for record in outcome.records}
    assert len(outcome.records) == len(margins) == 2


# --- hostile and clumsy plugins ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clumsy(Attack[Points]):
    """Breaks one rule, chosen by `how`. Source: this test."""

    threat = ThreatModel("score", DISTANCE)
    how: str = "raise"

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        if self.how == "raise":
            raise RuntimeError("out of luck")
        if self.how == "module":
            view.module.eval()
        if self.how == "shape":
            return batch.replace(point=batch.point[:, :1].repeat(1, 3))
        if self.how == "fewer":
            return batch.select([0])
        if self.how == "type":
            return batch.point  # type: ignore[return-value]
        if self.how == "over":
            return batch.replace(
                point=batch.point - 50 * batch.label.unsqueeze(1) * torch.tensor(WEIGHT).sign()
            )
        if self.how == "nan":
            return batch.replace(point=batch.point * torch.nan)
        if self.how == "label":
            return batch.replace(label=-batch.label)
        if self.how == "mutate":
            batch.point.add_(1000)
            view(batch)
            return batch
        return batch


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "RuntimeError: out of luck"),
        ("module", "reached for the module"),
        ("shape", "point"),
        ("fewer", "the examples it was given"),
        ("type", "must return a Points"),
    ],
)
def test_a_broken_attack_fails_its_cell_only(registry: Registry, execute: Run, how: str, said: str) -> None:
    """The cell is recorded as failed with one line that says why; the others are done; the exit code is 3."""
    registry.attack("linear/clumsy", Clumsy)
    outcome = execute(attacks=("none", f"clumsy:how={how}", "worst"))
    record = the(outcome, "clumsy")
    assert record.status == "failed"
    assert said in (record.error or "")
    assert the(outcome, "worst").status == "done"
    assert outcome.exit_code(strict=False) == 3


@pytest.mark.parametrize("how", ["over", "nan", "label"])
def test_an_invalid_example_is_never_a_success(registry: Registry, execute: Run, how: str) -> None:
    """Over budget, NaN or tampered: every example counts as invalid and as a failed attack."""
    registry.attack("linear/clumsy", Clumsy)
    outcome = execute(attacks=f"clumsy:how={how}")
    record = the(outcome, "clumsy")
    assert record.invalid == 64
    assert value(record) == 1.0
    assert value(record, "success") == 0.0
    assert record.verdict == "invalid"
    assert any(e.check == "budget-respected" for e in record.evidence)
    assert outcome.exit_code(strict=False) == 3


def test_an_attack_that_mutates_its_input_is_found_out(registry: Registry, execute: Run) -> None:
    """The clean input is kept by the framework: writing into it wins nothing and is said."""
    registry.attack("linear/clumsy", Clumsy)
    record = the(execute(attacks="clumsy:how=mutate"), "clumsy")
    assert value(record) == 1.0
    assert any("in place" in e.message for e in record.evidence)


# --- verdicts ----------------------------------------------------------------------------------------------------


class Around(nn.Module):
    """A victim behind a function of the point."""

    def __init__(self, victim: nn.Module, change: Callable[[Tensor, Points], Tensor]) -> None:
        super().__init__()
        self.victim, self.change = victim, change

    def forward(self, batch: Points) -> Tensor:
        return self.victim(batch.replace(point=self.change(batch.point, batch)))


@dataclass(frozen=True)
class Quantise(Defense):
    """Rounds its input, and may declare how to differentiate that. Source: this test."""

    honest: bool = False

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        def rounded(point: Tensor, batch: Points) -> Tensor:
            exact = (point * 4).round() / 4
            return straight_through(exact, point) if self.honest else exact

        return Around(victim, rounded)


@dataclass(frozen=True)
class Nan(Defense):
    """Answers NaN. Source: this test."""

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        return Around(victim, lambda point, batch: point * torch.nan)


@dataclass(frozen=True)
class Jitter(Defense):
    """Random; drawn from `Noise` or from the global generator. Source: this test."""

    proper: bool = True

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        noise = Noise(seed)

        def jittered(point: Tensor, batch: Points) -> Tensor:
            return point + 0.01 * (noise(batch.ids).normal(2) if self.proper else torch.randn_like(point))

        around = Around(victim, jittered)
        around.noise = noise
        return around


@pytest.fixture
def with_defenses(registry: Registry) -> Registry:
    """The registry with the defenses of this file."""
    registry.defense("linear/quantise", Quantise)
    registry.defense("linear/nan", Nan)
    registry.defense("linear/jitter", Jitter)
    return registry


def test_a_quantising_defense_is_suspicious(with_defenses: Registry, execute: Run) -> None:
    """Zero gradients are said, and a 100 % that rests on them is not a plain 100 %."""
    outcome = execute(attacks=("none", "worst"), defenses="quantise")
    record = the(outcome, "worst", "quantise")
    assert value(record) == value(the(outcome, "none", "quantise")) > 0.9
    assert record.verdict == "suspicious"
    assert any(e.check == "gradients" and "64 of 64" in e.message for e in record.evidence)
    assert outcome.exit_code(strict=False) == 0
    assert outcome.exit_code(strict=True) == 4


def test_a_straight_through_gradient_breaks_the_quantiser(with_defenses: Registry, execute: Run) -> None:
    """Declared honestly, rounding protects nobody and nothing is suspicious."""
    outcome = execute(attacks="worst", defenses=("none", "quantise:honest=true"))
    assert value(the(outcome, "worst", "quantise:honest=true")) < 0.7
    assert the(outcome, "worst", "quantise:honest=true").verdict == "ok"


def test_a_victim_that_answers_nan_is_invalid(with_defenses: Registry, execute: Run) -> None:
    """A NaN is neither robust nor broken: the cell has no valid figure, also on its clean row."""
    outcome = execute(attacks=("none", "random-corner"), defenses="nan")
    assert {record.verdict for record in outcome.records} == {"invalid"}
    assert outcome.exit_code(strict=False) == 3


def test_noise_is_repeatable_and_global_randomness_is_not(with_defenses: Registry, execute: Run) -> None:
    """A defense that draws from the global generator is found out; one that draws from Noise is fine."""
    outcome = execute(attacks="none", defenses=("jitter", "jitter:proper=false"))
    assert the(outcome, "none", "jitter").verdict == "ok"
    evidence = the(outcome, "none", "jitter:proper=false").evidence
    assert [e.check for e in evidence] == ["repeatable"]


def test_a_budget_of_zero_is_suspicious(execute: Run) -> None:
    """An attack with nothing to spend proves nothing."""
    record = the(execute(attacks="worst", budgets=0), "worst")
    assert record.verdict == "suspicious"
    assert any(e.check == "sensible-budget" for e in record.evidence)


@dataclass(frozen=True)
class Idle(Attack[Points]):
    """Asks and gives up. Source: this test."""

    threat = ThreatModel("score", DISTANCE)

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        view(batch)
        return batch


def test_an_attack_that_changes_nothing_is_suspicious(registry: Registry, execute: Run) -> None:
    """An attack that asks the victim and makes nothing worse has more likely failed than met a perfect defense."""
    registry.attack("linear/idle", Idle)
    evidence = the(execute(attacks="idle"), "idle").evidence
    assert [e.check for e in evidence] == ["loss-rose"]


@dataclass(frozen=True)
class Greedy(Attack[Points]):
    """Asks as long as it may. Source: this test."""

    threat = ThreatModel("score", DISTANCE, queries=5)

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        best = batch.replace(
            point=batch.point - budget * batch.label.unsqueeze(1) * torch.tensor(WEIGHT).sign()
        )
        view.submit(best)
        while True:
            view(best)


def test_the_query_budget_stops_an_attack(registry: Registry, execute: Run) -> None:
    """What was submitted before the queries ran out is what counts, and no query beyond the grant was answered."""
    registry.attack("linear/greedy", Greedy)
    outcome = execute(attacks=("greedy", "worst"))
    assert the(outcome, "greedy").cost.queries == 5
    assert value(the(outcome, "greedy")) == value(the(outcome, "worst"))


@dataclass(frozen=True)
class Dice(Attack[Points]):
    """Remembers its draws in the points. Source: this test."""

    threat = ThreatModel("none", DISTANCE)
    patience: int = 1

    def perturb(self, view: View[Points], batch: Points, budget: float, draw: Draws) -> Points:
        return batch.replace(point=batch.point + draw.uniform(2, low=-budget, high=budget))


def test_options_do_not_change_the_draws(registry: Registry, execute: Run) -> None:
    """The same starts whatever the options, so that more restarts or patience never find less; another seed differs."""
    registry.attack("linear/dice", Dice)
    one, two = (value(r, "margin") for r in execute(attacks=("dice", "dice:patience=2")).records)
    assert one == two
    assert value(execute("other", attacks="dice", seed=1).records[0], "margin") != one


# --- knowledge and transfer ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirror(Defense):
    """Mirrors the point, so that who does not know it pushes the wrong way. Source: this test."""

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        return Around(victim, lambda point, batch: point * torch.tensor([1.0, -1.0]))


def test_oblivious_attacks_see_the_undefended_victim(registry: Registry, execute: Run) -> None:
    """Each pair has an adaptive and an oblivious cell, attacks that ask nothing have one, and knowing helps."""
    registry.defense("linear/mirror", Mirror)
    outcome = execute(
        attacks=("none", "random-corner", "worst"), defenses="mirror", knowledge=("adaptive", "oblivious")
    )
    assert [(r.attack, r.knowledge) for r in outcome.records] == [
        ("none", "adaptive"),
        ("random-corner", "adaptive"),
        ("worst", "adaptive"),
        ("worst", "oblivious"),
    ]
    clean, _, adaptive, oblivious = (value(record, "margin") for record in outcome.records)
    assert adaptive == pytest.approx(clean - 1.5, abs=1e-5)
    assert oblivious == pytest.approx(clean + 0.5, abs=1e-5)


def test_a_transfer_attack_never_asks_the_victim(execute: Run) -> None:
    """With a surrogate the gradients are the surrogate's: no query reaches the victim, and the row says so."""
    record = the(execute(attacks="worst:surrogate=fitted-line"), "worst")
    assert record.cost.queries == 0
    assert "surrogate fitted-line" in record.threat
    assert value(record) < 1.0


# --- training nodes --------------------------------------------------------------------------------------------


def test_a_training_is_shared_by_all_its_cells(plan: Callable[..., Plan], with_defenses: Registry) -> None:
    """Six cells of one trained victim need one training."""
    made = plan(victims="fitted-line", attacks=("none", "worst"), defenses=("none", "quantise", "jitter"))
    assert len(made.cells) == 6
    assert len(made.fits()) == 1


@dataclass(frozen=True)
class LabelNoise(Attack[Points]):
    """Flips training labels. Source: this test."""

    threat = ThreatModel("data", Budget("share", "", 1.0))

    def poison(self, data: Any, budget: float, seed: Seed) -> Any:
        train = data.split("train")
        flipped = seed.draws(train.ids).coin(budget, 1).squeeze(1)
        return data.with_train(train.replace(label=torch.where(flipped, -train.label, train.label)))


def test_poisoning_acts_on_the_training_data(registry: Registry, execute: Run) -> None:
    """A victim trained on flipped labels is wrong on clean inputs; one without training is n/a, with the reason."""
    registry.attack("linear/label-noise", LabelNoise)
    outcome = execute(victims=("fitted-line:steps=60", "line"), attacks=("none", "label-noise"))
    trained = the(outcome, "label-noise", victim="fitted-line:steps=60")
    assert value(trained) < 0.2 < value(the(outcome, "none", victim="fitted-line:steps=60"))
    refused = the(outcome, "label-noise", victim="line")
    assert refused.status == "n/a"
    assert "nothing to train" in (refused.error or "")
    assert outcome.exit_code(strict=True) in (0, 4)


@dataclass(frozen=True)
class Flip(Attack[Points]):
    """Turns the weights around. Source: this test."""

    threat = ThreatModel("weights", Budget("weights", "", 1.0))

    def tamper(self, victim: Any, budget: float, seed: Seed) -> Any:
        with torch.no_grad():
            victim.weight.neg_()
        return victim


def test_tampering_does_not_leak_into_other_cells(registry: Registry, execute: Run) -> None:
    """The tampered copy is wrong everywhere; the victim of the neighbouring cell is untouched."""
    registry.attack("linear/flip", Flip)
    outcome = execute(attacks=("none", "flip", "worst"))
    assert value(the(outcome, "flip")) == 0.0
    assert value(the(outcome, "none")) == 1.0
    assert value(the(outcome, "worst")) > 0.0


# --- certificates ------------------------------------------------------------------------------------------------


class MarginCertified(Around):
    """Knows the exact worst case of a line."""

    radius = 0.25
    radius_budget = DISTANCE

    def certify(self, batch: Points) -> dict[str, Tensor]:
        margin = self.victim(batch) * batch.label - self.radius * sum(map(abs, WEIGHT))
        return {"accuracy": (margin > 0).double(), "margin": margin}


@dataclass(frozen=True)
class Certified(Defense):
    """A certificate. Source: this test."""

    certifies = True

    def harden(self, victim: nn.Module, data: Any, seed: Seed) -> nn.Module:
        return MarginCertified(victim, lambda point, batch: point)


def test_certificates_have_a_row_of_their_own(registry: Registry, execute: Run) -> None:
    """The certified figure stands beside the attacked one and bounds it at the same budget; others are n/a."""
    registry.defense("linear/certified", Certified)
    outcome = execute(attacks="worst", defenses=("none", "certified"), budgets=0.25)
    proven = the(outcome, "certificate", "certified")
    assert proven.certified
    assert proven.budget.value == 0.25
    assert value(proven) == value(the(outcome, "worst", "certified"))
    assert the(outcome, "certificate", "none").status == "n/a"


def test_victims_are_never_left_in_training_mode(execute: Run) -> None:
    """A trained victim is judged in evaluation mode."""
    record = the(execute(victims="fitted-line", attacks="none"), "none")
    assert record.verdict == "ok"
    assert isinstance(Line(), nn.Module)
