"""Does more budget do more harm?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, asks, not_applicable, passed


@dataclass(frozen=True)
class LargerBudget(AuditCheck):
    """Whatever an attack finds within a budget is still there within a larger one.

    Source: Carlini et al., arXiv:1902.06705, section 4.3 (success must rise with the distortion bound).
    """

    question: ClassVar[str] = "does harm rise with the budget?"
    factor: Annotated[float, Field(gt=1, description="how much larger the budget is")] = 2.0

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The same attack with more to spend."""
        if not asks(case) or case.budget <= 0:
            return ()
        return (Want(f"{self.factor:g} × the budget", budget=self.factor * case.budget),)

    def judge(self, case: Case) -> Outcome:
        """Flags an attack that gains nothing from a larger budget."""
        wanted = self.wants(case)
        harm = case.harm(wanted[0]) if wanted else None
        if harm is None:
            return not_applicable("the attack does not search")
        if case.is_saturated:
            return passed("the attack has done all that it could")
        unit = f" {case.attack.grant.budget.unit}".rstrip()
        text = (
            f"the headline moves by {harm.own - harm.clean:.3g} within {case.budget:g}{unit} "
            f"and by {harm.other - harm.clean:.3g} within {self.factor * case.budget:g}{unit}"
        )
        if harm.difference > 0:
            return passed(text)
        return Outcome(
            "flag",
            f"{text} (n {harm.n})",
            "the attack is stuck: its slope is masked or its step too small; take a counter-measure or another attack",
            counter=case.domain.probes.black_box or "",
        )
