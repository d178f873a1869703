"""Does knowing the weights help?"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, Want, not_applicable, passed


@dataclass(frozen=True)
class BlackBox(AuditCheck):
    """An attack with gradients must not do worse than one without, or than one that does not know the defense.

    Source: Athalye et al., arXiv:1802.00420, section 3.1 (black-box attacks are better than white-box attacks).
    """

    question: ClassVar[str] = "does white-box beat black-box?"
    alpha: Annotated[float, Field(gt=0, lt=1, description="level of the paired test")] = 0.05

    def wants(self, case: Case) -> tuple[Want, ...]:
        """The domain's black-box attack, its transfer attack, and the same attack without knowing the defense."""
        if case.attack.grant.access != "white-box" or case.knowledge != "adaptive":
            return ()
        probes = (
            ("a black-box attack", case.domain.probes.black_box),
            ("a transfer attack", case.domain.probes.transfer),
        )
        wanted = [Want(name, attack=spec, budget=case.budget) for name, spec in probes if spec is not None]
        if type(case.defense).__name__ != "NoDefense" and not case.attack.transfers_from:
            wanted.append(Want("the same attack without knowing the defense", knowledge="oblivious"))
        return tuple(wanted)

    def judge(self, case: Case) -> Outcome:
        """Flags a cell that a weaker attacker brings further down, beyond chance."""
        found = [(want, harm) for want in self.wants(case) if (harm := case.harm(want)) is not None]
        if not found:
            return not_applicable("no attack with less access to compare with")
        want, harm = max(found, key=lambda pair: pair[1].difference)
        other, own = harm.other - harm.clean, harm.own - harm.clean
        text = f"{want.name} moves the headline by {other:.3g}, this one by {own:.3g}"
        level = self.alpha / len(found)
        if harm.difference <= 0 or harm.p_more is None or harm.p_more > level:
            return passed(text)
        return Outcome(
            "flag",
            f"{text} (n {harm.n}, p {harm.p_more:.2g})",
            "whoever knows less should not do more: the gradient misleads, or the attack is weak",
            counter=want.attack or "oblivious",
        )
