"""Does the gradient reach the input?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, not_applicable, passed


@dataclass(frozen=True)
class GradientPath(AuditCheck):
    """A stage that rounds, saturates or cuts the graph leaves gradient attacks blind and the weakness in place.

    Source: shattered and vanishing gradients, Athalye et al., arXiv:1802.00420.
    """

    question: ClassVar[str] = "does the gradient reach the input?"
    flat: Annotated[float, Field(gt=0, le=1, description="share of the examples that may have no slope")] = (
        0.05
    )

    def judge(self, case: Case) -> Outcome:
        """Flags a victim with a stage that passes no slope on."""
        if (
            case.attack.grant.access != "white-box"
            or case.attack.transfers_from
            or case.knowledge != "adaptive"
        ):
            return not_applicable("the attack takes no gradient of this victim")
        slopes = case.slopes()
        if slopes is None:
            return not_applicable("inputs of this domain are discrete")
        if slopes.lost_at is None and slopes.flat_share < self.flat:
            return passed("every stage passes its slope on")
        where = f"at '{slopes.lost_at}'" if slopes.lost_at else "somewhere in the defended victim"
        return Outcome(
            "flag",
            f"the slope gets lost {where}; {slopes.flat_share:.0%} of the examples have none at the input",
            "attack it straight through: take that stage's derivative for the identity",
            counter="straight-through",
        )
