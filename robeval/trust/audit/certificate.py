"""Does what was proven hold?"""

from dataclasses import dataclass
from typing import ClassVar

from robeval.trust.audit.contract import AuditCheck, Case, Outcome, not_applicable, passed


@dataclass(frozen=True)
class CertificateHolds(AuditCheck):
    """An attack within the certified radius that does worse than the bound: the proof or its code is wrong.

    Source: the definition of a certificate, Cohen et al., arXiv:1902.02918.
    """

    question: ClassVar[str] = "does the certificate hold?"

    def judge(self, case: Case) -> Outcome:
        """Fails a cell in which an attack beat a certificate."""
        counted = case.beaten()
        if counted is None:
            return not_applicable("the defense proves no bound, or no example stays within its radius")
        broken, total = counted
        if not broken:
            return passed(f"all {total} examples within the radius keep their bound")
        return Outcome(
            "flag",
            f"{broken} of {total} examples within the certified radius are worse than their bound",
            "do not publish the certificate: its proof, its code or its measure of the radius is wrong",
            severity="invalid",
        )
