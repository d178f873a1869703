"""The default victim: a recurrent encoder of the target's own motion, and a decoder that answers at once."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.domains.trajectory.victims.motion import TargetFrame, seconds_ahead, steps_of, target_frame

SPEED_M_S = 10.0
TURN_M_S = 1.0


class LSTM(TrajectoryVictim):
    """Encoder-decoder over displacements; the answer is a correction of constant velocity.

    Source: the vanilla LSTM baseline of FQA (Kamra et al., NeurIPS 2020), a recurrent encoder of displacements.
    Differs: hidden 64 instead of 128; works in the target's own frame; the decoder is asked for all future times at
    once instead of step by step (any horizon, a twelfth of the cost).
    """

    def __init__(
        self,
        *,
        hidden: Annotated[int, Field(ge=1, description="size of the recurrent state")] = 64,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 800,
        train_batch_size: Annotated[int, Field(ge=1, description="scenes in a training step")] = 128,
        learning_rate: Annotated[float, Field(gt=0, description="Adam's first step size")] = 3e-3,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint = checkpoint
        self.encoder = nn.LSTM(5, hidden, batch_first=True)
        self.state = nn.Linear(hidden, hidden)
        self.time = nn.Linear(3, hidden)
        self.decoder = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The recurrent state after the last observed frame."""
        return self._encode(seen)[0]

    def predict(self, seen: Observation) -> Prediction:
        """One path."""
        state, frame = self._encode(seen)
        ahead = seconds_ahead(seen)
        clock = torch.cat([ahead / 5, (ahead / 5).square(), torch.exp(-ahead)], dim=-1)
        answer = self.decoder(self.state(state).unsqueeze(1) + self.time(clock))
        return certain(frame.straight(seen.horizon) + frame.turned_back(answer * ahead))

    def _encode(self, seen: Observation) -> tuple[Tensor, TargetFrame]:
        steps = steps_of(seen.past[:, 0], seen.present[:, 0])
        frame = target_frame(seen, steps)
        velocity = frame.turned(steps.moved) / seen.dt.to(steps.moved.dtype).view(-1, 1, 1)
        last = frame.turned(frame.step) / seen.dt.to(steps.moved.dtype).view(-1, 1)
        change = torch.where(steps.known.unsqueeze(-1), velocity - last.unsqueeze(1), 0.0)
        known = steps.known.unsqueeze(-1).to(velocity.dtype)
        _, (state, _) = self.encoder(torch.cat([velocity / SPEED_M_S, change / TURN_M_S, known], dim=-1))
        return state[-1], frame
