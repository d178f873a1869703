"""Did the attack make anything worse?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding

ASKING = ("white-box", "score", "decision", "rank")


@dataclass(frozen=True)
class LossRose:
    """An attack that optimises and yet leaves the headline where it was has probably failed."""

    name: str = "loss-rose"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious when the headline metric is, on average, no worse than on clean inputs."""
        if not facts.is_attack or facts.access not in ASKING or facts.budget == 0:
            return None
        known = facts.count("headline_n")
        if not known:
            return None
        clean, attacked = (
            facts.observed.get(f"headline_{kind}", 0.0) / known for kind in ("clean", "attacked")
        )
        worse = attacked > clean if facts.lower_is_better else attacked < clean
        if worse:
            return None
        return Finding(
            self.name,
            "suspicious",
            f"the attack did not make {facts.headline} worse ({clean:.3g} clean, {attacked:.3g} attacked): "
            "more likely a failed attack than a perfect defense",
        )
