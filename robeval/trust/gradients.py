"""Did the attack get gradients that it could follow?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class Gradients:
    """A zero gradient stops an attack and leaves the weakness where it was.

    Source: Athalye et al., arXiv:1802.00420 (shattered and vanishing gradients give a false sense of security).
    """

    zero_share: float = 0.05
    name: str = "gradients"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious when a share of the examples never saw a gradient above zero, or any saw NaN."""
        if facts.access != "white-box" or not facts.is_attack or not facts.n:
            return None
        asked, flat = facts.count("gradient_examples"), facts.count("zero_gradient_examples")
        broken = facts.count("nan_gradient_examples")
        whose = "surrogate's" if facts.transfers else "victim's"
        if broken:
            return Finding(
                self.name, "suspicious", f"the {whose} gradient is NaN on {broken} of {asked} examples"
            )
        if not asked:
            return Finding(
                self.name, "suspicious", "a white-box attack that never took a gradient; its access is unused"
            )
        if flat / asked < self.zero_share:
            return None
        return Finding(
            self.name,
            "suspicious",
            f"the {whose} gradient is exactly zero on {flat} of {asked} examples: the attack was blind there, "
            "which is no robustness. If a defense rounds or quantises, declare a straight-through gradient, "
            "or attack it with a black-box attack",
        )
