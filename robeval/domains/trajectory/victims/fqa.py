"""Pairwise attention with fuzzy decisions between the target and the agents around it."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.domains.trajectory.victims.motion import (
    CHANGE_M_S,
    PLACE_M,
    SPEED_M_S,
    TargetFrame,
    directions,
    motion_of,
    nearest,
    steps_of,
    strongest,
    target_frame,
)

DECISIONS, KEY, ANSWER = 8, 4, 6


class FuzzyQueries(nn.Module):
    """What the senders have to say to the receiver: soft yes/no decisions between two learned answers each."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.from_sender = nn.Linear(hidden, 2 * DECISIONS * KEY)
        self.from_place = nn.Linear(2, 2 * DECISIONS * KEY, bias=False)
        self.from_receiver = nn.Linear(2 + hidden, 2 * DECISIONS * KEY, bias=False)
        self.from_pair = nn.Linear(2 + hidden, 2 * DECISIONS * KEY, bias=False)
        self.bias = nn.Parameter(torch.zeros(DECISIONS))
        self.answer_state = nn.Linear(hidden, hidden)
        self.answer_place = nn.Linear(2, hidden, bias=False)
        self.answers = nn.Linear(hidden, 2 * DECISIONS * ANSWER)
        self.response = nn.Linear(DECISIONS * ANSWER, hidden)
        self.out = nn.Linear(hidden, hidden)

    def known(self, states: Float[Tensor, "rows senders hidden"]) -> tuple[Tensor, Tensor]:
        """What the senders' states say to every question: done once, as their states stay."""
        return self.from_sender(states), self.answer_state(states)

    def forward(
        self,
        place: Float[Tensor, "rows 2"],
        state: Float[Tensor, "rows hidden"],
        places: Float[Tensor, "rows senders 2"],
        states: Float[Tensor, "rows senders hidden"],
        known: tuple[Tensor, Tensor],
        heard: Bool[Tensor, "rows senders"],
    ) -> Float[Tensor, "rows hidden"]:
        """The strongest response of all heard senders, feature by feature; as if of none where nobody is heard."""
        apart = places - place.unsqueeze(1)
        differs = (states - state.unsqueeze(1)).detach()
        pair = torch.cat([directions(apart * PLACE_M), nn.functional.normalize(differs, dim=-1)], dim=-1)
        # Differences p_sr and h_sr need no weights of their own: they are linear in the two ends.
        both = (
            known[0]
            + self.from_place(places)
            + self.from_receiver(torch.cat([place, state], dim=-1)).unsqueeze(1)
            + self.from_pair(pair)
        )
        key, query = both.unflatten(-1, (2, DECISIONS, KEY)).unbind(-3)
        decision = torch.sigmoid((key * query).sum(-1) + self.bias).unsqueeze(-1)
        inner = torch.relu(self.answer_place(apart) + known[1])
        yes, no = self.answers(inner).unflatten(-1, (2, DECISIONS, ANSWER)).unbind(-3)
        response = self.response((no + decision * (yes - no)).flatten(-2))
        out: Tensor = self.out(strongest(response, heard))
        return out


class FQA(TrajectoryVictim):
    """A recurrent roll-out in which the target asks its neighbours before every step.

    Source: Kamra et al., "Multi-agent Trajectory Prediction with Fuzzy Query Attention", NeurIPS 2020; facts as in
    the authors' repository.
    Differs: coordinates are the target's own (the paper standardises by the data set's mean), states encode
    velocities instead of positions; only the target is predicted, so only it asks, from the last observed frame on;
    neighbours keep their last velocity and state; Euclidean loss in metres (the paper: squared).
    """

    def __init__(
        self,
        *,
        hidden: Annotated[int, Field(ge=1, description="size of the recurrent state")] = 32,
        agents: Annotated[int, Field(ge=0, description="nearest neighbours that are asked")] = 6,
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
        self.agents, self.radius_m = agents, radius_m
        self.memory = nn.LSTMCell(5, hidden)
        self.queries = FuzzyQueries(hidden)
        self.update = nn.Sequential(nn.Linear(2 + 2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.acceleration = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The target's recurrent state after the last observed frame."""
        return self._remember(seen)[0][0][:, 0]

    def predict(self, seen: Observation) -> Prediction:
        """One path."""
        (states, cells), places, velocities, heard, frame = self._remember(seen)
        pace = seen.dt.to(places.dtype).view(-1, 1)
        first = velocities[:, 0]
        reach = pace * (SPEED_M_S / PLACE_M)
        senders = velocities[:, 1:] * reach.unsqueeze(1)
        state, cell, place, velocity = states[:, 0], cells[:, 0], places[:, 0], first
        always = torch.ones_like(pace)
        places, others, changes = places[:, 1:], states[:, 1:], []
        known = self.queries.known(others)
        for _ in range(seen.horizon):
            answer = self.queries(place, state, places, others, known, heard)
            moved = state + self.update(torch.cat([place, state, answer], dim=-1))
            change = self.acceleration(moved) * pace
            velocity = velocity + change / SPEED_M_S
            place, places = place + velocity * reach, places + senders
            state, cell = self.memory(
                torch.cat([velocity, change / CHANGE_M_S, always], dim=-1), (state, cell)
            )
            changes.append(velocity - first)
        shift = torch.stack(changes, dim=1).cumsum(dim=1) * (SPEED_M_S * pace).unsqueeze(1)
        return certain(frame.straight(seen.horizon) + frame.turned_back(shift))

    def _remember(
        self, seen: Observation
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, Tensor, TargetFrame]:
        """States and cells, places and velocities of all agents (own frame, scaled), who is heard, the frame."""
        near = nearest(seen, self.agents, self.radius_m)
        steps = steps_of(near.past, near.present)
        frame = target_frame(near, steps)
        rate = 1 / (SPEED_M_S * near.dt.to(near.past.dtype))
        inputs = motion_of(near, steps, frame).flatten(0, 1)
        state = inputs.new_zeros(len(inputs), self.memory.hidden_size)
        cell = torch.zeros_like(state)
        for number in range(inputs.shape[1]):
            state, cell = self.memory(inputs[:, number], (state, cell))
        agents = near.past.shape[1]
        place = frame.turned(near.past[:, :, -1] - frame.now.unsqueeze(1)) / PLACE_M
        place = torch.cat([torch.zeros_like(place[:, :1]), place[:, 1:]], dim=1)
        last = frame.turned(steps.last) * rate.view(-1, 1, 1)
        shape = (len(seen), agents, -1)
        both = (state.view(shape), cell.view(shape))
        return both, place, last, near.present[:, 1:, -1], frame
