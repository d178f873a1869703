"""The checks that are always on, and the verdict that they give."""

from collections.abc import Sequence
from typing import Literal

from robeval.trust.budget_measured import BudgetMeasured
from robeval.trust.budget_respected import BudgetRespected
from robeval.trust.evaluation_mode import EvaluationMode
from robeval.trust.facts import Check, Facts, Finding
from robeval.trust.finite_outputs import FiniteOutputs
from robeval.trust.gradient_declared import GradientDeclared
from robeval.trust.gradients import Gradients
from robeval.trust.input_range import InputRange
from robeval.trust.loss_rose import LossRose
from robeval.trust.repeatable import Repeatable
from robeval.trust.sensible_budget import SensibleBudget

ALWAYS_ON: tuple[Check, ...] = (
    FiniteOutputs(),
    InputRange(),
    SensibleBudget(),
    EvaluationMode(),
    Gradients(),
    GradientDeclared(),
    LossRose(),
    BudgetRespected(),
    BudgetMeasured(),
    Repeatable(),
)


def judge(
    facts: Facts, checks: Sequence[Check] = ALWAYS_ON
) -> tuple[Literal["ok", "suspicious", "invalid"], list[Finding]]:
    """The verdict (the worst severity) and every finding behind it, worst first."""
    order = ("invalid", "suspicious", "ok")
    found = [finding for finding in (check(facts) for check in checks) if finding is not None]
    found.sort(key=lambda finding: order.index(finding.severity))
    return (found[0].severity if found else "ok"), found
