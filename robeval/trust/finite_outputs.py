"""Does the victim answer with numbers?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class FiniteOutputs:
    """A NaN compares as "not worse" and reads as robustness; so any NaN makes the figure invalid."""

    name: str = "finite-outputs"

    def __call__(self, facts: Facts) -> Finding | None:
        """Invalid when any answer, clean or attacked, is NaN or infinite."""
        clean, attacked = facts.count("clean_nonfinite"), facts.count("attacked_nonfinite")
        if not clean and not attacked:
            return None
        where = " and ".join(
            f"{count} of {facts.n} {kind} inputs"
            for count, kind in ((clean, "clean"), (attacked, "attacked"))
            if count
        )
        return Finding(
            self.name, "invalid", f"the victim answers NaN or infinity on {where}; fix the victim first"
        )
