"""What a cell is found to be: by hand-made outcomes whose right answer is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robeval.gate.judge import changes
from robeval.gate.record import record
from robeval.gate.verdict import Change, Verdict
from robeval.results.baseline import Baseline

Places = Callable[[str], Any]
Held = Callable[..., Any]
ONES, ZEROS = [1.0] * 40, [0.0] * 40


def drop(k: int, n: int = 40) -> list[float]:
    """All right but the first k."""
    return [0.0] * k + [1.0] * (n - k)


def states(found: Any) -> dict[str, str]:
    """State by cell and metric."""
    return {f"{finding.cell.attack} {finding.metric.name}": finding.state for finding in found[0]}


def test_equal_outcomes_hold(places: Places, held: Held) -> None:
    """Nothing changed: no drop, p = 1, and still a smallest drop that would have been found."""
    (finding,), new = held(
        places("a").cell("worst", drop(20)).done(), places("b").cell("worst", drop(20)).done()
    )
    assert (finding.state, finding.worse.value, finding.p, new) == ("held", 0.0, 1.0, [])
    assert finding.power.examples == 40
    assert 0 < finding.power.smallest < 1


@pytest.mark.parametrize(
    ("lost", "state", "p"),
    [(0, "held", 1.0), (1, "uncertain", 1 / 2), (4, "uncertain", 1 / 16), (5, "regressed", 1 / 32)],
)
def test_a_drop_must_be_large_and_sure(places: Places, held: Held, lost: int, state: str, p: float) -> None:
    """k of 40 changing to wrong and none to right has the one-sided sign-test p-value of 2 to the minus k."""
    before, after = places("a").cell("worst", ONES), places("b").cell("worst", drop(lost))
    (finding,), _ = held(before.done(), after.done())
    assert finding.state == state
    # Sign flips of 40 clusters are drawn, not enumerated.
    assert finding.p == pytest.approx(p, rel=0.25)
    assert finding.worse.value == pytest.approx(lost / 40)


def test_a_sure_drop_within_the_tolerance_holds(places: Places, held: Held) -> None:
    """20 of 1000 is significant and exactly the two points that are tolerated; 21 are too many."""
    before = places("a").cell("worst", [1.0] * 1000).done()
    for lost, state in ((20, "held"), (21, "regressed")):
        (finding,), _ = held(before, places(f"b{lost}").cell("worst", drop(lost, 1000)).done())
        assert (finding.state, finding.p < 0.001) == (state, True)


def test_the_command_line_tolerance_replaces_the_recorded_one(places: Places, held: Held) -> None:
    """A fifth is a regression under 0.02 and none under 0.25, by file and by flag."""
    before, after = places("a").cell("worst", ONES).done(), places("b").cell("worst", drop(8)).done()
    assert states(held(before, after)) == {"worst accuracy": "regressed"}
    assert states(held(before, after, tolerance=0.25)) == {"worst accuracy": "held"}
    assert states(held(before, after, tolerances={"accuracy": 0.25})) == {"worst accuracy": "held"}
    found = held(before, after, tolerances={"accuracy": 0.25}, tolerance=0.02)
    assert states(found) == {"worst accuracy": "regressed"}


def test_lower_is_better_and_tolerance_is_relative_for_a_mean(places: Places, held: Held) -> None:
    """An error of 10 m may grow to 10.2 m; growing is worse, shrinking is better."""
    rng = np.random.default_rng(0)
    ten = 10 + rng.normal(0, 0.5, 40)
    before = places("a").cell("worst", ONES, ten).done()
    for factor, state in ((1.019, "held"), (1.03, "regressed"), (0.97, "improved")):
        after = places(f"b{factor}").cell("worst", ONES, ten * factor).done()
        (finding,), _ = held(before, after, metrics=["error"])
        assert finding.state == state
        assert finding.worse.value == pytest.approx((factor - 1) * ten.mean(), rel=1e-4)
        assert finding.allowance == pytest.approx(0.02 * ten.mean(), rel=1e-4)


def test_examples_are_paired_by_name_not_by_row(places: Places, held: Held) -> None:
    """The same outcomes in another order are no change."""
    names = [f"test-{k}" for k in range(40)]
    scenes = [f"scene-{k}" for k in range(40)]
    before = places("a").cell("worst", drop(20), examples=names, clusters=scenes)
    after = places("b").cell("worst", drop(20)[::-1], examples=names[::-1], clusters=scenes[::-1])
    (finding,), _ = held(before.done(), after.done())
    assert (finding.state, finding.worse.value, finding.p) == ("held", 0.0, 1.0)


def test_one_scene_is_one_observation(places: Places, held: Held) -> None:
    """Forty examples of two scenes that all fell are not enough to be sure, and no drop could be found."""
    scenes = ["one"] * 20 + ["two"] * 20
    before = places("a").cell("worst", ONES, clusters=scenes).done()
    (finding,), _ = held(before, places("b").cell("worst", ZEROS, clusters=scenes).done())
    assert finding.state == "uncertain"
    assert finding.p == pytest.approx(0.25)
    assert finding.power.smallest == float("inf")


def test_many_cells_are_corrected_together(places: Places, held: Held) -> None:
    """p = 1/32 alone is significant; as the best of three cells it is not."""
    before = places("a").cell("none", ONES).cell("worst", ONES).cell("other", ONES)
    after = places("b").cell("none", ONES).cell("worst", drop(5)).cell("other", ONES)
    found = held(before.done(), after.done())
    assert states(found)["worst accuracy"] == "uncertain"
    assert found[0][1].p == pytest.approx(3 / 32, rel=0.25)


def test_seeds_are_one_cell_and_an_example_under_two_seeds_is_one_observation(
    places: Places, held: Held
) -> None:
    """Four examples that fell under both seeds have the p-value of four, not of eight."""
    before = places("a").cell("worst", ONES).cell("worst", ONES, seed=1)
    after = places("b").cell("worst", drop(4)).cell("worst", drop(4), seed=1)
    (finding,), _ = held(before.done(), after.done())
    assert finding.n == 80
    assert finding.p == pytest.approx(1 / 16, rel=0.25)


def test_what_cannot_be_judged_is_never_a_pass(places: Places, held: Held) -> None:
    """Failed, absent, refused and invalid cells each get their own state, with the reason."""
    names = ("boom", "gone", "refused", "nan")
    before = places("a")
    for name in names:
        before.cell(name, ONES)
    after = (
        places("b")
        .cell("boom", [], status="failed", verdict="invalid", error="RuntimeError: out of luck")
        .cell("refused", [], status="n/a", error="trains nothing")
        .cell("nan", ONES, verdict="invalid", evidence=[evidence("invalid", "NaN for 7 examples")])
    )
    found, _ = held(before.done(), after.done())
    reasons = {finding.cell.attack: (finding.state, finding.reason) for finding in found}
    assert reasons["boom"] == ("failed", "seed 0: RuntimeError: out of luck")
    assert reasons["gone"] == ("missing", "no result for seed 0")
    assert reasons["refused"] == ("missing", "seed 0: n/a: trains nothing")
    assert reasons["nan"] == ("invalid", "seed 0: NaN for 7 examples")
    assert not any(finding.is_judged for finding in found)


def evidence(severity: str, message: str) -> dict[str, str]:
    """What a trust check found."""
    return {"check": "gradients", "severity": severity, "message": message}


def test_a_figure_that_became_suspicious_does_not_pass_but_may_fail(places: Places, held: Held) -> None:
    """Masked gradients may hide a drop, never invent one; a doubt that was recorded is accepted."""
    doubt = {"verdict": "suspicious", "evidence": [evidence("suspicious", "the gradient was zero")]}
    plain = places("a").cell("worst", ONES).done()
    doubted = places("d").cell("worst", ONES, **doubt).done()
    found, _ = held(plain, doubted)
    assert (found[0].state, found[0].reason) == ("suspicious", "the gradient was zero")
    assert states(held(plain, places("w").cell("worst", ZEROS, **doubt).done())) == {
        "worst accuracy": "regressed"
    }
    assert states(held(doubted, doubted)) == {"worst accuracy": "held"}


def test_a_changed_attack_blocks_its_own_cells_only(places: Places, held: Held) -> None:
    """Data and scoring concern every cell, an attack its own rows, a victim none."""
    before = places("a").cell("none", ONES).cell("worst", ONES)
    before.cell("worst-of:access=white-box", ONES)
    folder = before.done()
    attack = Change("attack worst", "1", "2", blocks=True)
    found = held(folder, folder, changed=[attack])
    assert list(states(found).values()) == ["held", "changed", "changed"]
    assert "the attack worst is not what it was" in found[0][1].reason
    for what in ("dataset points", "domain linear"):
        found = held(folder, folder, changed=[Change(what, "1", "2", blocks=True)])
        assert set(states(found).values()) == {"changed"}
    found = held(folder, folder, changed=[Change("victim line", "1", "2", blocks=False)])
    assert set(states(found).values()) == {"held"}
    found = held(folder, folder, changed=[attack], allow_changed=True)
    assert set(states(found).values()) == {"held"}


def test_which_changes_block(places: Places) -> None:
    """Domain, dataset and attack decide what a figure means; victim, defense and versions are only told."""
    baseline: Baseline = record(places("a").cell("none", ONES).done()).baseline
    now = dict.fromkeys(baseline.fingerprints, "other")
    found = changes(baseline, now, {"torch": "2.14.0", "numpy": "1.26.4", "robeval": "0.1.0"})
    blocks = {change.what for change in found if change.blocks}
    assert blocks == {"domain linear", "dataset points", "attack none", "attack worst"}
    told = {str(change) for change in found if not change.blocks}
    assert "torch 2.13.0 is now 2.14.0" in told
    assert len(told) == 3
    assert changes(baseline, baseline.fingerprints, baseline.packages) == []


def test_other_examples_do_not_compare(places: Places, held: Held) -> None:
    """An example that only one side has is told; with --allow-changed the shared ones are compared."""
    before = places("a").cell("worst", ONES).done()
    fewer = places("b").cell("worst", drop(10)[:30]).done()
    found, _ = held(before, fewer)
    assert found[0].state == "changed"
    assert "10 of 40 recorded outcomes have no counterpart" in found[0].reason
    found, _ = held(before, fewer, allow_changed=True)
    assert (found[0].state, found[0].n) == ("regressed", 30)
    others = places("c").cell("worst", ONES, examples=[f"other-{k}" for k in range(40)]).done()
    found, _ = held(before, others, allow_changed=True)
    assert (found[0].state, found[0].reason) == ("invalid", "no example has the metric in both runs")


def test_a_figure_that_is_no_number_is_invalid(places: Places, held: Held) -> None:
    """An infinite error is neither better nor worse than 1 m: nobody is told that it held."""
    before = places("a").cell("worst", ONES, [1.0] * 40).done()
    after = places("b").cell("worst", ONES, [1.0] * 39 + [float("inf")]).done()
    found, _ = held(before, after, metrics=["error"])
    assert found[0].state == "invalid"


def test_unknown_cells_are_named_and_not_gated(places: Places, held: Held) -> None:
    """A cell that the baseline lacks is said to be new."""
    before = places("a").cell("none", ONES).done()
    found, new = held(before, places("b").cell("none", ONES).cell("worst", ZEROS).done())
    assert len(found) == 1
    assert new == ["worst <= 0.5 m vs none on line (points)"]


def test_a_certain_regression_does_not_hide_behind_an_error(mixed: Verdict) -> None:
    """Exit 1 wins over 3, and both are told."""
    assert mixed.exit_code == 1
    assert mixed.counts == {"regressed": 1, "failed": 1, "improved": 1, "held": 1}


def test_an_error_alone_is_exit_3(places: Places, verdict: Callable[..., Verdict]) -> None:
    """Without a regression what cannot be judged decides."""
    before = places("a").cell("none", ONES).cell("worst", ONES).done()
    assert verdict(before, places("b").cell("none", ONES).done()).exit_code == 3
    assert verdict(before, before).exit_code == 0


@pytest.mark.parametrize("n", [100, 1000])
def test_the_smallest_drop_that_is_told_would_have_been_found(places: Places, held: Held, n: int) -> None:
    """A drop of that size in the mean, with the recorded spread, fails the check; half of it mostly does not."""
    rng = np.random.default_rng(n)
    change = rng.normal(0, 1.0, n)
    error = 10 + rng.normal(0, 1.0, n)
    before = places("a").cell("worst", [1.0] * n, error).done()
    (finding,), _ = held(
        before, places("b").cell("worst", [1.0] * n, error + change - change.mean()).done(), ["error"]
    )
    told = finding.power.smallest
    after = places("c").cell("worst", [1.0] * n, error + change - change.mean() + told).done()
    assert states(held(before, after, ["error"])) == {"worst error": "regressed"}
    assert told > finding.allowance


def test_judging_needs_the_folder_of_a_run(places: Places, held: Held) -> None:
    """A damaged table of outcomes fails its cell and no other."""
    before = places("a").cell("none", ONES).cell("worst", ONES).done()
    after = places("b").cell("none", ONES).cell("worst", ONES).done()
    (after / "examples" / f"{1:012x}.parquet").write_bytes(b"half")
    assert states(held(before, after)) == {"none accuracy": "held", "worst accuracy": "failed"}
