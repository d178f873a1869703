"""Each check fires on what it is for, and on nothing else."""

from dataclasses import replace

import pytest

from robeval.trust.checks import ALWAYS_ON, judge
from robeval.trust.facts import Facts

HONEST = Facts(
    access="white-box",
    budget=1.0,
    budget_unit="m",
    is_attack=True,
    transfers=False,
    n=50,
    headline="ade",
    lower_is_better=True,
    observed={
        "headline_n": 50.0,
        "headline_clean": 50.0,
        "headline_attacked": 100.0,
        "gradient_examples": 50.0,
        "zero_gradient_examples": 0.0,
        "repeated": 50.0,
    },
)


def observed(**changes: float) -> Facts:
    """The honest cell with other observations."""
    return replace(
        HONEST, observed={**HONEST.observed, **{name: float(value) for name, value in changes.items()}}
    )


def test_an_honest_cell_is_ok() -> None:
    """Nothing to say gives the verdict ok without evidence."""
    assert judge(HONEST) == ("ok", [])


@pytest.mark.parametrize(
    ("facts", "check", "verdict"),
    [
        (observed(clean_nonfinite=1), "finite-outputs", "invalid"),
        (observed(attacked_nonfinite=1), "finite-outputs", "invalid"),
        (observed(**{"problem:positions are NaN": 2}), "input-range", "invalid"),
        (replace(HONEST, budget=-1.0), "sensible-budget", "invalid"),
        (replace(HONEST, budget=float("nan")), "sensible-budget", "invalid"),
        (replace(HONEST, budget=0.0), "sensible-budget", "suspicious"),
        (observed(in_training_mode=1), "evaluation-mode", "invalid"),
        (observed(weights_changed=1), "evaluation-mode", "invalid"),
        (observed(zero_gradient_examples=3), "gradients", "suspicious"),
        (observed(nan_gradient_examples=1), "gradients", "suspicious"),
        (observed(gradient_examples=0), "gradients", "suspicious"),
        (observed(headline_attacked=50.0), "loss-rose", "suspicious"),
        (observed(invalid=5, over_budget=5), "budget-respected", "suspicious"),
        (observed(invalid=6, malformed=6), "budget-respected", "invalid"),
        (observed(unrepeatable=1), "repeatable", "suspicious"),
        (observed(input_changed=50), "repeatable", "invalid"),
    ],
)
def test_each_check_fires_alone(facts: Facts, check: str, verdict: str) -> None:
    """One thing wrong gives one finding with its severity, and a sentence."""
    found_verdict, findings = judge(facts)
    assert [finding.check for finding in findings] == [check]
    assert found_verdict == verdict
    assert len(findings[0].message) > 20


@pytest.mark.parametrize(
    "facts",
    [
        observed(zero_gradient_examples=2),
        replace(observed(gradient_examples=0), access="score"),
        replace(observed(headline_attacked=10.0), lower_is_better=False),
        replace(observed(headline_attacked=50.0, gradient_examples=0), access="none"),
        replace(observed(headline_attacked=50.0), is_attack=False, budget=0.0),
    ],
)
def test_no_check_fires_on_what_is_as_it_should_be(facts: Facts) -> None:
    """A few flat examples, a black box without gradients, accuracy that fell, noise that did nothing, the clean row."""
    assert judge(facts) == ("ok", [])


def test_the_worst_finding_is_the_verdict_and_comes_first() -> None:
    """Several findings are all told, worst first."""
    verdict, findings = judge(observed(unrepeatable=1, clean_nonfinite=1))
    assert verdict == "invalid"
    assert [finding.severity for finding in findings] == ["invalid", "suspicious"]


def test_names_are_unique() -> None:
    """Evidence is found by the name of its check."""
    names = [check.name for check in ALWAYS_ON]
    assert len(set(names)) == len(names)
