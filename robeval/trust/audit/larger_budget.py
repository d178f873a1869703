"""Does more budget do more harm?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, asks, not_applicable, passed


@dataclass(frozen=True)
class LargerBudget(AuditCheck):
    """Whatever an attack finds within a budget is still there within a larger one.

    An attack with further constraints is compared with itself at a smaller budget: beyond its own the constraints
    may bind, and more budget honestly buys nothing.

    Source: Carlini et al., arXiv:1902.06705, section 4.3 (success must rise with the distortion bound).
    """

    question: ClassVar[str] = "does harm rise with the budget?"
    alpha: Annotated[
        float, Field(gt=0, lt=1, description="level of the paired test where constraints bind")
    ] = 0.05
    factor: Annotated[float, Field(gt=1, description="between the two budgets")] = 2.0

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The same attack with more to spend, or with less where further constraints bind."""
        if not asks(case) or case.budget <= 0:
            return ()
        factor = 1 / self.factor if case.attack.grant.constraints else self.factor
        return (Want(f"{factor:g} × the budget", budget=factor * case.budget),)

    def judge(self, case: Case) -> Outcome:
        """Flags an attack that gains nothing from a larger budget."""
        wanted = self.wants(case)
        harm = case.harm(wanted[0]) if wanted else None
        if harm is None or wanted[0].budget is None:
            return not_applicable("the attack does not search")
        if case.is_saturated:
            return passed("the attack has done all that it could")
        budgets = {case.budget: harm.own - harm.clean, wanted[0].budget: harm.other - harm.clean}
        unit = f" {case.attack.grant.budget.unit}".rstrip()
        (small, less), (large, more) = sorted(budgets.items())
        text = f"the headline moves by {less:.3g} within {small:g}{unit} and by {more:.3g} within {large:g}{unit}"
        if more > less:
            return passed(text)
        # `other` is the smaller budget where constraints bind: equal harm is then no objection, less harm is.
        if case.attack.grant.constraints and (harm.p_more is None or harm.p_more > self.alpha):
            return passed(f"{text}: the other constraints bind")
        return Outcome(
            "flag",
            f"{text} (n {harm.n})",
            "the attack is stuck: its slope is masked or its step too small; take a counter-measure or another attack",
            counter=case.domain.probes.black_box or "",
        )
