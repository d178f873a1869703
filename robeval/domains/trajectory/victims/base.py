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
        paths, probability = answer
        return Prediction(paths.reshape(*shape, *paths.shape[1:]), probability.reshape(*shape, -1))


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
        return known_mean(displacement(path, batch), batch)


def certain(path: Float[Tensor, "rows horizon 2"]) -> Prediction:
    """The answer of a predictor with one mode."""
    return Prediction(path.unsqueeze(1), torch.ones_like(path[:, :1, 0]))


def known_mean(value: Float[Tensor, "batch windows horizon"], truth: SceneBatch) -> Float[Tensor, " batch"]:
    """The mean of a scene's values over the future steps whose truth is known; 0 without any."""
    known = truth.future_present().to(value.dtype)
    return (value * known).flatten(1).sum(dim=1) / known.flatten(1).sum(dim=1).clamp_min(1)


def displacement(
    path: Float[Tensor, "batch windows horizon 2"], truth: SceneBatch
) -> Float[Tensor, "batch windows horizon"]:
    """Euclidean error of every step, metres; 0 where the truth is unknown."""
    error = ((path - truth.future()) ** 2).sum(-1).clamp_min(1e-12).sqrt()
    return torch.where(truth.future_present(), error, torch.zeros_like(error))
