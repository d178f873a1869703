"""The default victim: a recurrent encoder of the target's own motion, and a decoder that answers at once."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.domains.trajectory.victims.motion import (
    TargetFrame,
    is_person,
    motion_of,
    nearest,
    place_of,
    seconds_ahead,
    steps_of,
    strongest,
    target_frame,
)


class LSTM(TrajectoryVictim):
    """Encoder-decoder over displacements that knows its neighbours; the answer corrects constant velocity.

    Source: the vanilla LSTM baseline of FQA (Kamra et al., NeurIPS 2020) with the pooling of Social GAN (Gupta et
    al., arXiv:1803.10892): an embedding of each neighbour, the strongest value of each feature.
    Differs: hidden 64 instead of 128; works in the target's own frame; neighbours are embedded from their place
    and motion, not from recurrent states of their own; the decoder is asked for all future times at once instead of
    step by step (any horizon, a twelfth of the cost).
    """

    def __init__(
        self,
        *,
        hidden: Annotated[int, Field(ge=1, description="size of the recurrent state")] = 64,
        agents: Annotated[int, Field(ge=0, description="nearest neighbours that are looked at")] = 8,
        radius_m: Annotated[float, Field(gt=0, description="how far neighbours may be, metres")] = 50.0,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 600,
        train_batch_size: Annotated[int, Field(ge=1, description="scenes in a training step")] = 128,
        learning_rate: Annotated[float, Field(gt=0, description="Adam's first step size")] = 5e-3,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint = checkpoint
        self.agents, self.radius_m = agents, radius_m
        self.encoder = nn.LSTM(5, hidden, batch_first=True)
        self.neighbour = nn.Sequential(
            nn.Linear(17, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, hidden // 2)
        )
        self.state = nn.Linear(hidden + hidden // 2, hidden)
        self.time = nn.Linear(3, hidden)
        self.decoder = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The recurrent state after the last observed frame, and the neighbours'."""
        return self._encode(seen)[0]

    def predict(self, seen: Observation) -> Prediction:
        """One path."""
        state, frame = self._encode(seen)
        ahead = seconds_ahead(seen)
        clock = torch.cat([ahead / 5, (ahead / 5).square(), torch.exp(-ahead)], dim=-1)
        answer = self.decoder(self.state(state).unsqueeze(1) + self.time(clock))
        return certain(frame.straight(seen.horizon) + frame.turned_back(answer * ahead))

    def _encode(self, seen: Observation) -> tuple[Tensor, TargetFrame]:
        near = nearest(seen, self.agents, self.radius_m)
        steps = steps_of(near.past, near.present)
        frame = target_frame(near, steps)
        motion = motion_of(near, steps, frame)
        _, (state, _) = self.encoder(motion[:, 0])
        return torch.cat([state[-1], self._pooled(near, motion, frame)], dim=-1), frame

    def _pooled(self, near: Observation, motion: Tensor, frame: TargetFrame) -> Tensor:
        """The strongest value of each feature over the neighbours; 0 without any."""
        own = motion[:, :1, -1, :2].expand(-1, motion.shape[1], -1)
        parts = [
            place_of(near, frame),
            motion[:, :, -1],
            motion[:, :, 0],
            own,
            is_person(near.kind).unsqueeze(-1).to(own.dtype),
        ]
        embedded = self.neighbour(torch.cat(parts, dim=-1)[:, 1:])
        return strongest(embedded, near.present[:, 1:, -1])
