"""Does the defense say how its gradient is taken?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class GradientDeclared:
    """A defense that declares itself not differentiable makes a white-box attack blind, and nobody robust."""

    name: str = "gradient-declared"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious for a white-box attack through a defense that declares ``gradient = "none"``."""
        if facts.gradient != "none" or facts.access != "white-box" or not facts.is_attack or facts.transfers:
            return None
        return Finding(
            self.name,
            "suspicious",
            "the defense declares that it cannot be differentiated, so this white-box attack was blind: declare a "
            "straight-through gradient, or attack it without gradients",
        )
