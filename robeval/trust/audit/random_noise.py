"""Does the attack beat chance?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, asks, not_applicable, passed


@dataclass(frozen=True)
class RandomNoise(AuditCheck):
    """A random perturbation of the same budget must hurt less than the attack, beyond chance.

    Source: Carlini et al., arXiv:1902.06705, section 4 (sanity checks); Tramèr et al., arXiv:2002.08347.
    """

    question: ClassVar[str] = "does the attack beat random noise?"
    alpha: Annotated[float, Field(gt=0, lt=1, description="level of the paired test")] = 0.05

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The domain's random attack at the same budget."""
        random = case.domain.probes.random
        if random is None or not asks(case) or random.partition(":")[0] == case.attack_spec.partition(":")[0]:
            return ()
        return (Want("random noise", attack=random, budget=case.budget),)

    def judge(self, case: Case) -> Outcome:
        """Flags an attack that is not better than chance."""
        wanted = self.wants(case)
        harm = case.harm(wanted[0]) if wanted else None
        if harm is None:
            return not_applicable("the domain has no random attack to compare with, or this is one")
        if case.is_saturated:
            return passed("the attack has done all that it could")
        other, own = harm.other - harm.clean, harm.own - harm.clean
        text = f"the attack moves the headline by {own:.3g}, random noise by {other:.3g}"
        beats = harm.difference < 0 and harm.p_less is not None and harm.p_less <= self.alpha
        if beats:
            return passed(text)
        return Outcome(
            "flag",
            f"{text} (n {harm.n}, p {_shown(harm.p_less)})",
            "the attack finds nothing that chance does not; run a stronger one, or one without gradients",
            counter=case.domain.probes.black_box or "",
        )


def _shown(p: float | None) -> str:
    return "unknown" if p is None else f"{p:.2g}"
