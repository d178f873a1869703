"""Does the same input give the same answer?"""

from dataclasses import dataclass

from robeval.trust.facts import Facts, Finding


@dataclass(frozen=True)
class Repeatable:
    """An answer that changes by itself is noise that an attack is blamed or praised for."""

    name: str = "repeatable"

    def __call__(self, facts: Facts) -> Finding | None:
        """Suspicious when a second look at the same input differs; invalid when the attack wrote into its input."""
        if facts.count("input_changed"):
            return Finding(
                self.name,
                "invalid",
                "the attack changed its input in place, so it may have measured against its own changes; "
                "work on batch.replace(...) or a clone()",
            )
        unstable = facts.count("unrepeatable")
        if not unstable:
            return None
        return Finding(
            self.name,
            "suspicious",
            f"the victim answers differently on the same input ({unstable} of {facts.count('repeated')} examples); "
            "a random defense must draw from robeval.Noise",
        )
