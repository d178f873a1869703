"""Does every victim fall when everything is allowed?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, asks, not_applicable, passed


@dataclass(frozen=True)
class UnboundedBudget(AuditCheck):
    """With a budget that allows any input, an attack that works must win on every example.

    Source: Athalye et al., arXiv:1802.00420, section 3.1 (unbounded attacks do not reach 100 % success).
    """

    question: ClassVar[str] = "does every victim fall without a bound?"
    share: Annotated[float, Field(gt=0, le=1, description="of the examples that must fall")] = 1.0

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The same attack with the budget's declared `unbounded`."""
        unbounded = case.attack.grant.budget.unbounded
        if unbounded is None or not asks(case):
            return ()
        return (Want("without a bound", budget=unbounded),)

    def judge(self, case: Case) -> Outcome:
        """Flags an attack that leaves a victim standing."""
        wanted = self.wants(case)
        if not wanted:
            return not_applicable("the attack's budget declares no `unbounded` value")
        counted = case.failure(wanted[0])
        if counted is None:
            return not_applicable("the headline has no worst end to reach")
        held, total = counted
        text = f"{held} of {total} examples hold out at a budget of {wanted[0].budget:g}, where any input is allowed"
        if held <= (1 - self.share) * total:
            return passed(text)
        return Outcome(
            "flag",
            text,
            "the attack cannot find what must exist: its gradient is masked, or its search is broken",
            counter=case.domain.probes.black_box or "",
        )
