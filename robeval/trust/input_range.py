"""Are the clean inputs what the domain expects?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding

PREFIX = "problem:"


@dataclass(frozen=True)
class InputRange:
    """Inputs out of their range make any figure meaningless."""

    name: str = "input-range"

    def __call__(self, facts: Facts) -> Finding | None:
        """Invalid when any clean input has a problem that the domain names."""
        found = {
            key.removeprefix(PREFIX): facts.count(key) for key in facts.observed if key.startswith(PREFIX)
        }
        named = [f"{problem} in {count} of {facts.n}" for problem, count in found.items() if count]
        if not named:
            return None
        return Finding(
            self.name, "invalid", f"clean inputs are out of range: {'; '.join(named)}; check the dataset"
        )
