"""A predictor around a predictor: what most defenses at inference are."""

from abc import abstractmethod

from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import Predictor, TrajectoryVictim
from robeval.errors import PluginError
from robeval.plugins.victim import Victim


class Around(Predictor):
    """The victim, asked about a cleaned observation. Write `cleaned`."""

    def __init__(self, victim: nn.Module) -> None:
        """Raises PluginError when `victim` is no trajectory predictor."""
        super().__init__()
        self.victim = predictor(victim)

    @abstractmethod
    def cleaned(self, seen: Observation) -> Observation:
        """What the victim is asked about instead of `seen`; differentiable in the positions."""

    def predict(self, seen: Observation) -> Prediction:
        """The victim's answer to the cleaned observation."""
        return self.victim.predict(self.cleaned(seen))

    def features(self, seen: Observation) -> Tensor:
        """The victim's encoding of the cleaned observation."""
        encoding: Tensor = self.victim.features(self.cleaned(seen))  # type: ignore[operator]
        return encoding


def predictor(victim: nn.Module) -> Predictor:
    """`victim`, if it is a trajectory predictor. Raises PluginError otherwise."""
    if not isinstance(victim, Predictor):
        raise PluginError(
            f"a trajectory defense needs a Predictor (a module with predict(observation)), "
            f"but was given {type(victim).__name__}; use a victim of the domain 'trajectory'"
        )
    return victim


def trainable(victim: Victim) -> TrajectoryVictim:
    """`victim`, if it is one that a trajectory defense can train. Raises PluginError otherwise."""
    if not isinstance(victim, TrajectoryVictim):
        raise PluginError(
            f"a trajectory defense trains a TrajectoryVictim, but was given {type(victim).__name__}; "
            "use a victim of the domain 'trajectory'"
        )
    return victim
