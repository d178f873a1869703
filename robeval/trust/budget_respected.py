"""Did the attack keep to its grant?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class BudgetRespected:
    """Over-budget, NaN and malformed examples are scored as failed attacks, so many of them hide a weakness."""

    tolerated_share: float = 0.1
    name: str = "budget-respected"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious with any invalid example, invalid above the tolerated share."""
        broken = facts.count("invalid")
        if not broken or not facts.n:
            return None
        over, malformed = facts.count("over_budget"), facts.count("malformed")
        what = ", ".join(
            f"{n} {text}" for n, text in ((over, "over budget"), (malformed, "NaN or malformed")) if n
        )
        share = broken / facts.n
        return Finding(
            self.name,
            "invalid" if share > self.tolerated_share else "suspicious",
            f"{broken} of {facts.n} adversarial examples break the threat model ({what}) and count as failed attacks",
        )
