"""The baseline that every learned predictor has to beat."""

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.domains.trajectory.victims.motion import steps_of, target_frame


class ConstantVelocity(TrajectoryVictim):
    """Keeps the last velocity.

    A target that was seen once stands still. Nothing is trained.
    Source: the usual first baseline of the field (nuscenes-devkit ships one by heading).
    """

    def predict(self, seen: Observation) -> Prediction:
        """One path: the last known step, repeated."""
        frame = target_frame(seen, steps_of(seen.past[:, 0], seen.present[:, 0]))
        return certain(frame.straight(seen.horizon))
