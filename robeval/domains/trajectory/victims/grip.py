"""A graph network over the agents around the target, then a recurrent roll-out."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.domains.trajectory.victims.motion import (
    SPEED_M_S,
    TargetFrame,
    directions,
    motion_of,
    nearest,
    place_of,
    steps_of,
    target_frame,
)

HOPS = 3
"""An agent itself, its neighbours, its neighbours' neighbours."""
KERNEL = 5


def hop_graph(
    position: Float[Tensor, "rows agents 2"], visible: Bool[Tensor, "rows agents"], reach_m: float
) -> Float[Tensor, "rows hops agents agents"]:
    """Who hears whom over 0, 1 and 2 hops of less than `reach_m`; what an agent sends is shared out among its hearers.

    Entry [receiver, sender]; the columns of all hops together sum to 1, those of invisible agents to 0.
    """
    both = visible.unsqueeze(1) & visible.unsqueeze(2)
    gap = (position.unsqueeze(1) - position.unsqueeze(2)).square().sum(-1)
    itself = torch.eye(visible.shape[1], dtype=torch.bool, device=visible.device) & both
    one = (gap < reach_m**2) & both & ~itself
    links = one.to(position.dtype)
    two = (links @ links > 0) & ~one & ~itself
    hops = torch.stack([itself, one, two], dim=1).to(position.dtype)
    return hops / hops.sum(dim=(1, 2), keepdim=True).clamp_min(1)


class GraphBlock(nn.Module):
    """Mix agents along the graph, then frames along time, beside a shortcut."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.hop_weight = nn.Parameter(torch.ones(HOPS))
        self.mix = nn.Sequential(nn.Linear(HOPS * inputs, width), nn.ReLU())
        self.along_time = nn.Linear(KERNEL * width, width)
        self.shortcut = nn.Identity() if inputs == width else nn.Linear(inputs, width)

    def forward(
        self,
        state: Float[Tensor, "rows agents frames inputs"],
        graph: Float[Tensor, "rows hops receivers agents"],
    ) -> Float[Tensor, "rows receivers frames width"]:
        """The new state of the first agents, as many as the graph has receivers."""
        rows, agents, frames, inputs = state.shape
        receivers = graph.shape[2]
        weighted = (graph * self.hop_weight.view(1, -1, 1, 1)).flatten(1, 2)
        heard = (weighted @ state.reshape(rows, agents, frames * inputs)).view(
            rows, HOPS, receivers, frames, inputs
        )
        mixed = self.mix(heard.permute(0, 2, 3, 1, 4).flatten(3))
        padded = nn.functional.pad(mixed, (0, 0, KERNEL // 2, KERNEL // 2))
        spans = torch.cat([padded[:, :, k : k + frames] for k in range(KERNEL)], dim=-1)
        result = self.along_time(spans) + self.shortcut(state[:, :receivers])
        return torch.relu(result)


class GRIP(TrajectoryVictim):
    """Graph convolutions over nearby agents, then an encoder-decoder of GRUs over displacements.

    Source: GRIP++ (Li, Ying, Chuah, arXiv:1907.07792); facts as in the authors' repository.
    Differs: agents within 25 m are linked (the paper: 10 m, less than what followers keep at 10 m/s); frames also
    carry changes of velocity and the place relative to the target; headings are directions of the steps; width 32
    instead of 64; one scalar per hop instead of weights per pair of nodes (any number of agents); no BatchNorm (no
    example depends on its batch); one single-layer GRU pair instead of three double ones; at most `agents`
    neighbours; Euclidean loss on the path.
    """

    def __init__(
        self,
        *,
        width: Annotated[int, Field(ge=1, description="channels of the graph network")] = 32,
        hidden: Annotated[int, Field(ge=1, description="size of the recurrent state")] = 48,
        agents: Annotated[int, Field(ge=0, description="nearest neighbours that are looked at")] = 8,
        reach_m: Annotated[
            float, Field(gt=0, description="agents closer than this are linked, metres")
        ] = 25.0,
        radius_m: Annotated[float, Field(gt=0, description="how far neighbours may be, metres")] = 50.0,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 400,
        train_batch_size: Annotated[int, Field(ge=1, description="scenes in a training step")] = 128,
        learning_rate: Annotated[float, Field(gt=0, description="Adam's first step size")] = 5e-3,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint = checkpoint
        self.agents, self.reach_m, self.radius_m = agents, reach_m, radius_m
        self.blocks = nn.ModuleList(GraphBlock(inputs, width) for inputs in (11, width, width))
        self.encoder = nn.GRU(width, hidden, batch_first=True)
        self.decoder = nn.GRUCell(2, hidden)
        self.acceleration = nn.Linear(hidden, 2)

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The encoder's last state."""
        return self._encode(seen)[0]

    def predict(self, seen: Observation) -> Prediction:
        """One path."""
        state, frame = self._encode(seen)
        dt = seen.dt.to(state.dtype).unsqueeze(-1)
        first = frame.turned(frame.step) / dt / SPEED_M_S
        velocity, changes = first, []
        for _ in range(seen.horizon):
            state = self.decoder(velocity, state)
            velocity = velocity + self.acceleration(state) * dt / SPEED_M_S
            changes.append(velocity - first)
        shift = torch.stack(changes, dim=1).cumsum(dim=1) * (SPEED_M_S * dt).unsqueeze(1)
        return certain(frame.straight(seen.horizon) + frame.turned_back(shift))

    def _encode(self, seen: Observation) -> tuple[Tensor, TargetFrame]:
        near = nearest(seen, self.agents, self.radius_m)
        steps = steps_of(near.past, near.present)
        frame = target_frame(near, steps)
        motion = motion_of(near, steps, frame)
        place = place_of(near, frame).unsqueeze(2).expand(-1, -1, motion.shape[2], -1)
        state = torch.cat([motion, frame.turned(directions(steps.moved)), place], dim=-1)
        visible = near.present[:, :, -1].clone()
        visible[:, 0] = True
        here = torch.cat([frame.now.unsqueeze(1), near.past[:, 1:, -1]], dim=1).detach()
        graph = hop_graph(here, visible, self.reach_m)
        for block in self.blocks[:-1]:
            state = block(state, graph)
        target = self.blocks[-1](state, graph[:, :, :1]).squeeze(1)
        return self.encoder(target)[1][-1], frame
