"""Can one draw of a random defense be trusted?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, not_applicable, passed


@dataclass(frozen=True)
class NoisyGradient(AuditCheck):
    """Where two draws of a defense's noise give two unlike gradients, one draw at a time leads nowhere.

    Source: stochastic gradients and expectation over transformation, Athalye et al., arXiv:1802.00420.
    """

    question: ClassVar[str] = "do two draws of the noise agree?"
    agreement: Annotated[
        float, Field(gt=0, lt=1, description="median cosine of two gradients that is enough")
    ] = 0.5

    def judge(self, case: Case) -> Outcome:
        """Flags a random defense whose single gradients say little."""
        if (
            case.attack.grant.access != "white-box"
            or case.attack.transfers_from
            or case.knowledge != "adaptive"
        ):
            return not_applicable("the attack takes no gradient of this victim")
        slopes = case.slopes()
        if slopes is None:
            return not_applicable("inputs of this domain are discrete")
        text = f"gradients under two draws of the noise have a median cosine of {slopes.agreement:.2f}"
        if slopes.agreement >= self.agreement:
            return passed("the victim has no noise" if slopes.agreement == 1 else text)
        return Outcome(
            "flag",
            text,
            "average the gradient over draws: declare gradient = 'expectation' and enough draws",
            counter="expectation",
        )
