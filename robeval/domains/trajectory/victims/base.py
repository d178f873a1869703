"""What every trajectory predictor shares."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction, SceneBatch
from robeval.plugins.victim import Victim


class Predictor(nn.Module):
    """Anything that answers observations: a victim, or a defense around one.

    Write `predict`; `forward` folds the windows of whole scenes into its rows. Every derived feature (steps,
    velocity, heading, graph, normalisation) is computed from the positions inside `predict`, differentiably.
    """

    @abstractmethod
    def predict(self, seen: Observation) -> Prediction:
        """Paths [rows, modes, horizon, 2] in the frame of `seen`, probability [rows, modes]."""

    def forward(self, batch: SceneBatch) -> Prediction:
        """Paths [batch, windows, modes, horizon, 2], probability [batch, windows, modes]."""
        answer = self.predict(batch.observation())
        shape = (len(batch), batch.windows)
        return Prediction(answer.paths.unflatten(0, shape), answer.probability.unflatten(0, shape))


class TrajectoryVictim(Predictor, Victim):
    """A predictor that is trained here."""

    domain: ClassVar[str] = "trajectory"

    def forward(self, batch: SceneBatch) -> Prediction:
        """Paths [batch, windows, modes, horizon, 2], probability [batch, windows, modes]."""
        return Predictor.forward(self, batch)

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The encoding of the target's past that the decoder starts from (adversarial training ties it down)."""
        raise NotImplementedError(f"{type(self).__name__} has no encoding")

    def loss(self, batch: SceneBatch) -> Float[Tensor, " batch"]:
        """Mean Euclidean error over known future steps, metres."""
        path = self(batch).most_likely()
        return displacement(path, batch).flatten(1).mean(dim=1)


def displacement(
    path: Float[Tensor, "batch windows horizon 2"], truth: SceneBatch
) -> Float[Tensor, "batch windows horizon"]:
    """Euclidean error of every step, metres; 0 where the truth is unknown."""
    error = ((path - truth.future()) ** 2).sum(-1).clamp_min(1e-12).sqrt()
    return torch.where(truth.future_present(), error, torch.zeros_like(error))
