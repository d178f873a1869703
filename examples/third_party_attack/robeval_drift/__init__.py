"""Guests register through one function; naming the class as text keeps `robeval list` instant."""

from robeval.plugins.registry import Registry


def register(registry: Registry) -> None:
    """What this package brings."""
    registry.attack(
        "trajectory/drift", "robeval_drift.drift:Drift", "Push every observed position the same way."
    )
