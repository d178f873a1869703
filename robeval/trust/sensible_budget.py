"""Was the attacker given anything to spend?"""

import math
from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class SensibleBudget:
    """An attack with nothing to spend shows perfect robustness."""

    name: str = "sensible-budget"

    def __call__(self, facts: Facts) -> Finding | None:
        """Invalid for a negative or non-finite budget, suspicious for a budget of zero."""
        if not facts.is_attack:
            return None
        if not math.isfinite(facts.budget) or facts.budget < 0:
            return Finding(
                self.name, "invalid", f"a budget of {facts.budget:g} {facts.budget_unit} means nothing"
            )
        if facts.budget == 0:
            return Finding(
                self.name, "suspicious", "the budget is 0: nothing can be perturbed, any defense holds"
            )
        return None
