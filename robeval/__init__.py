"""robeval: how well does this defense hold against this attack, and can you trust the number?"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from robeval.arrays import Batch
    from robeval.plugins.contracts import Attack, Defense, Domain, Metric, Trial
    from robeval.plugins.data import Dataset
    from robeval.plugins.registry import Registry
    from robeval.plugins.threat import Budget, ThreatModel
    from robeval.plugins.victim import Victim
    from robeval.plugins.views import View
    from robeval.seeding import Draws, Noise, Seed

# Resolved on first use, so that `robeval --help` does not pay for torch.
_HOMES = {
    "Attack": "robeval.plugins.contracts",
    "Batch": "robeval.arrays",
    "Budget": "robeval.plugins.threat",
    "Dataset": "robeval.plugins.data",
    "Defense": "robeval.plugins.contracts",
    "Domain": "robeval.plugins.contracts",
    "Draws": "robeval.seeding",
    "Metric": "robeval.plugins.contracts",
    "Noise": "robeval.seeding",
    "Registry": "robeval.plugins.registry",
    "Seed": "robeval.seeding",
    "ThreatModel": "robeval.plugins.threat",
    "Trial": "robeval.plugins.contracts",
    "Victim": "robeval.plugins.victim",
    "View": "robeval.plugins.views",
}

__all__ = [
    "Attack",
    "Batch",
    "Budget",
    "Dataset",
    "Defense",
    "Domain",
    "Draws",
    "Metric",
    "Noise",
    "Registry",
    "Seed",
    "ThreatModel",
    "Trial",
    "Victim",
    "View",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'robeval' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
