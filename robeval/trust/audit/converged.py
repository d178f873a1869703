"""Had the attack come to rest?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, not_applicable, passed


@dataclass(frozen=True)
class Converged(AuditCheck):
    """An attack that still improves when its steps end has not shown what it can do.

    Source: Carlini et al., arXiv:1902.06705, section 4.6 (verify that attacks have converged).
    """

    question: ClassVar[str] = "had the attack converged?"
    share: Annotated[
        float, Field(gt=0, lt=1, description="of the whole gain that the last fifth of the steps may bring")
    ] = 0.15

    def judge(self, case: Case) -> Outcome:
        """Flags an attack that gains much in its last fifth."""
        gain, late = case.observed.get("trace_gain"), case.observed.get("trace_late_gain")
        if gain is None or late is None:
            return not_applicable("the attack does not tell how its steps went (see View.trace)")
        if gain <= 0:
            return passed("the first step was the best; other checks judge that")
        text = f"the last fifth of the steps brought {late / gain:.0%} of all that they gained"
        if late <= self.share * gain:
            return passed(text)
        return Outcome("flag", text, f"give the attack more {case.attack.counts}")
