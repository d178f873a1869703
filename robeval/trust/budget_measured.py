"""Could anybody tell what the attack spent?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class BudgetMeasured:
    """What an attack did to training data or weights is not measured by the domain: its budget is its own word."""

    name: str = "budget-measured"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious when nobody measured what was spent."""
        if not facts.is_attack or not facts.count("budget_unmeasured"):
            return None
        return Finding(
            self.name,
            "suspicious",
            "nothing measured what this attack spent on training data or weights; its budget is its own word",
        )
