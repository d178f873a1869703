"""The plugins `none`: what every figure is read against."""

from dataclasses import dataclass
from typing import Any

from robeval.plugins.contracts import Attack, Defense
from robeval.plugins.threat import Budget, ThreatModel


@dataclass(frozen=True)
class NoAttack(Attack[Any]):
    """The clean row: nothing is perturbed.

    Source: the reference that every attacked figure is read against.
    """

    threat = ThreatModel(access="none", budget=Budget("nothing", "", 0.0), goal="none")
    perturbs = False


@dataclass(frozen=True)
class NoDefense(Defense):
    """The undefended column: the victim as it was trained.

    Source: the reference that every defense is read against.
    """
