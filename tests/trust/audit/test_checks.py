"""Each audit check flags what it is for, passes what is honest, and says when it does not apply."""

from typing import Any

import pytest

from robeval.errors import OptionError
from robeval.plugins.discovery import built_in
from robeval.plugins.options import configure
from robeval.testing.linear import RandomCorner, Steps, WorstCase
from robeval.trust.audit.black_box import BlackBox
from robeval.trust.audit.certificate import CertificateHolds
from robeval.trust.audit.contract import AuditCheck, Slopes
from robeval.trust.audit.converged import Converged
from robeval.trust.audit.gradient_path import GradientPath
from robeval.trust.audit.larger_budget import LargerBudget
from robeval.trust.audit.noisy_gradient import NoisyGradient
from robeval.trust.audit.one_step import OneStep
from robeval.trust.audit.random_noise import RandomNoise
from robeval.trust.audit.unbounded_budget import UnboundedBudget

NAMES = {entry.short for entry in built_in().of("check")}


def test_every_registered_check_is_an_audit_check_with_a_question() -> None:
    """All nine load, are frozen dataclasses with usable defaults, and ask something."""
    checks = [configure(entry.load(), {}, entry.name) for entry in built_in().of("check")]
    assert len(checks) == 9
    assert all(isinstance(check, AuditCheck) and check.question.endswith("?") for check in checks)


def test_a_threshold_is_an_option_with_limits() -> None:
    """A threshold outside its range is refused in words."""
    with pytest.raises(OptionError, match="alpha"):
        configure(RandomNoise, {"alpha": 2.0}, "check 'random-noise'")


@pytest.mark.parametrize(
    ("own", "other", "p_less", "expected"),
    [(0.6, 0.2, 0.001, "pass"), (0.6, 0.55, 0.2, "flag"), (0.2, 0.3, 0.9, "flag")],
)
def test_random_noise(case: Any, harm: Any, own: float, other: float, p_less: float, expected: str) -> None:
    """The attack must hurt more than noise, and beyond chance."""
    outcome = RandomNoise().judge(case(harms={"random noise": harm(own, other, p_less=p_less)}))
    assert outcome.result == expected
    assert outcome.counter == ("random-search" if expected == "flag" else "")


def test_random_noise_does_not_apply_to_random_noise(case: Any) -> None:
    """The domain's random attack is not compared with itself."""
    assert RandomNoise().judge(case(attack=RandomCorner(), attack_spec="random-corner")).result == "n/a"


@pytest.mark.parametrize(("one", "expected"), [(0.3, "pass"), (0.59, "flag"), (0.6, "flag")])
def test_one_step(case: Any, harm: Any, one: float, expected: str) -> None:
    """One step may reach 98 % of what all steps reach, and no more."""
    assert OneStep().judge(case(harms={"one step": harm(0.6, one)})).result == expected


def test_one_step_does_not_apply_to_an_attack_without_steps(case: Any) -> None:
    """An attack in closed form has no option that counts steps; one with a single step is its own first."""
    assert OneStep().judge(case(attack=WorstCase())).result == "n/a"
    assert OneStep().wants(case(attack=Steps(iterations=1))) == ()


def test_an_attack_that_won_everywhere_need_not_beat_anything(case: Any, harm: Any) -> None:
    """At the worst end of the headline one step, noise and more budget cannot do less."""
    done = case(
        is_saturated=True,
        harms={"one step": harm(1, 1), "random noise": harm(1, 1), "2 × the budget": harm(1, 1)},
    )
    assert {check.judge(done).result for check in (OneStep(), RandomNoise(), LargerBudget())} == {"pass"}


@pytest.mark.parametrize(("twice", "expected"), [(0.9, "pass"), (0.6, "flag"), (0.5, "flag")])
def test_larger_budget(case: Any, harm: Any, twice: float, expected: str) -> None:
    """Twice the budget must do more harm."""
    assert LargerBudget().judge(case(harms={"2 × the budget": harm(0.6, twice)})).result == expected


@pytest.mark.parametrize(
    ("half", "p_more", "expected"), [(0.3, 0.9, "pass"), (0.62, 0.3, "pass"), (0.9, 0.001, "flag")]
)
def test_constraints_excuse_an_attack_that_gains_nothing(
    case: Any, harm: Any, half: float, p_more: float, expected: str
) -> None:
    """Under further constraints half the budget may do as much, but not significantly more."""

    class Constrained(Steps):
        threat = Steps.threat.__class__("white-box", Steps.threat.budget, constraints=("kinematics",))

    made = case(attack=Constrained(), harms={"0.5 × the budget": harm(0.6, half, p_more=p_more)})
    assert LargerBudget().judge(made).result == expected


@pytest.mark.parametrize(("held", "expected"), [(0, "pass"), (1, "flag")])
def test_unbounded_budget(case: Any, held: int, expected: str) -> None:
    """Every example must fall where any input is allowed."""
    assert UnboundedBudget().judge(case(failures=(held, 32))).result == expected


@pytest.mark.parametrize(
    ("other", "p_more", "expected"), [(0.8, 0.001, "flag"), (0.8, 0.2, "pass"), (0.3, 0.9, "pass")]
)
def test_black_box(case: Any, harm: Any, other: float, p_more: float, expected: str) -> None:
    """A black-box attack that does significantly more than the white-box one is a flag with that attack as counter."""
    outcome = BlackBox().judge(case(harms={"a black-box attack": harm(0.6, other, p_more=p_more)}))
    assert outcome.result == expected
    assert outcome.counter == ("random-search" if expected == "flag" else "")


def test_black_box_asks_the_oblivious_attacker_where_there_is_a_defense(case: Any, harm: Any) -> None:
    """Gradients of the undefended victim that do more than the defended one's are flagged, and are the counter."""

    class Masked(case().defense.__class__.__mro__[1]):  # type: ignore[misc]
        """Some defense."""

    made = case(
        defense=Masked(),
        harms={"the same attack without knowing the defense": harm(0.2, 0.8, p_more=0.001)},
    )
    assert BlackBox().judge(made).counter == "oblivious"


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        (Slopes(None, 1.0, 0.0), "pass"),
        (Slopes("stage", 1.0, 0.9), "flag"),
        (Slopes(None, 1.0, 0.06), "flag"),
        (None, "n/a"),
    ],
)
def test_gradient_path(case: Any, slopes: Slopes | None, expected: str) -> None:
    """A stage that loses the slope, or examples without any, are flags that straight-through answers."""
    outcome = GradientPath().judge(case(followed=slopes))
    assert outcome.result == expected
    assert outcome.counter == ("straight-through" if expected == "flag" else "")


@pytest.mark.parametrize(("agreement", "expected"), [(1.0, "pass"), (0.6, "pass"), (0.2, "flag")])
def test_noisy_gradient(case: Any, agreement: float, expected: str) -> None:
    """Two draws whose gradients are half-way orthogonal call for an average over draws."""
    outcome = NoisyGradient().judge(case(followed=Slopes(None, agreement, 0.0)))
    assert outcome.result == expected
    assert outcome.counter == ("expectation" if expected == "flag" else "")


def test_gradient_checks_do_not_apply_to_who_takes_no_gradient(case: Any) -> None:
    """A black-box attack and an oblivious one do not differentiate the defended victim."""
    slopes = Slopes("stage", 0.0, 1.0)
    for made in (case(attack=RandomCorner(), followed=slopes), case(knowledge="oblivious", followed=slopes)):
        assert {check.judge(made).result for check in (GradientPath(), NoisyGradient())} == {"n/a"}


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ({"trace_gain": 10.0, "trace_late_gain": 0.5}, "pass"),
        ({"trace_gain": 10.0, "trace_late_gain": 3.0}, "flag"),
        ({"trace_gain": 0.0, "trace_late_gain": 0.0}, "pass"),
        ({}, "n/a"),
    ],
)
def test_converged(case: Any, observed: dict[str, float], expected: str) -> None:
    """The last fifth of the steps may bring 15 % of the gain."""
    assert Converged().judge(case(observed=observed)).result == expected


@pytest.mark.parametrize(("counted", "expected"), [((0, 5), "pass"), ((1, 5), "flag"), (None, "n/a")])
def test_certificate_holds(case: Any, counted: tuple[int, int] | None, expected: str) -> None:
    """One example below its bound makes the figure invalid."""
    outcome = CertificateHolds().judge(case(certificate=counted))
    assert outcome.result == expected
    assert expected != "flag" or outcome.severity == "invalid"


def test_every_flag_comes_with_advice(case: Any, harm: Any) -> None:
    """Whoever reads a flag is told what to do."""
    bad = case(
        followed=Slopes("stage", 0.0, 1.0),
        failures=(3, 4),
        certificate=(1, 2),
        observed={"trace_gain": 1.0, "trace_late_gain": 0.9},
        harms={
            "random noise": harm(0.1, 0.2),
            "one step": harm(0.1, 0.1),
            "2 × the budget": harm(0.1, 0.1),
            "a black-box attack": harm(0.1, 0.9, p_more=0.001),
        },
    )
    checks = [configure(entry.load(), {}, entry.name) for entry in built_in().of("check")]
    outcomes = [check.judge(bad) for check in checks]
    assert {outcome.result for outcome in outcomes} == {"flag"}
    assert all(outcome.advice for outcome in outcomes)
