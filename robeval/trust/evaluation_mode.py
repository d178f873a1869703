"""Was the victim evaluated as it is deployed?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class EvaluationMode:
    """Training mode (dropout, batch statistics) mixes neighbours into an example's answer."""

    name: str = "evaluation-mode"

    def __call__(self, facts: Facts) -> Finding | None:
        """Invalid when a module was in training mode, or weights changed while the attack ran."""
        if facts.count("in_training_mode"):
            return Finding(
                self.name,
                "invalid",
                "part of the victim was in training mode while it was judged; call .eval() on it",
            )
        if facts.count("weights_changed"):
            return Finding(
                self.name, "invalid", "the victim's weights or buffers changed while the attack ran"
            )
        return None
