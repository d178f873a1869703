"""Is an iterated attack better than its first step?"""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, asks, not_applicable, passed


@dataclass(frozen=True)
class OneStep(AuditCheck):
    """One step doing as well as many: the slope leads nowhere, or the further steps are broken.

    Source: Athalye et al., arXiv:1802.00420, section 3.1 (one-step attacks perform better than iterative ones).
    """

    question: ClassVar[str] = "do many steps beat one?"
    share: Annotated[
        float, Field(gt=0, le=1, description="of the attack's harm that one step alone may reach")
    ] = 0.98

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The same attack with one step."""
        attack = case.attack
        names = {field.name for field in fields(attack)}
        if not asks(case) or attack.counts not in names or getattr(attack, attack.counts) <= 1:
            return ()
        return (Want("one step", options=((attack.counts, 1),)),)

    def judge(self, case: Case) -> Outcome:
        """Flags an attack whose first step does what all its steps do."""
        wanted = self.wants(case)
        harm = case.harm(wanted[0]) if wanted else None
        if harm is None:
            return not_applicable("the attack does not iterate")
        if case.is_saturated:
            return passed("the attack has done all that it could")
        many, one = harm.own - harm.clean, harm.other - harm.clean
        text = f"one step moves the headline by {one:.3g}, all {getattr(case.attack, case.attack.counts)} by {many:.3g}"
        if one < self.share * many:
            return passed(text)
        return Outcome(
            "flag",
            f"{text} (n {harm.n})",
            "the slope does not lead where it points: try another step size, more restarts, or no gradients at all",
            counter=case.domain.probes.black_box or "",
        )
