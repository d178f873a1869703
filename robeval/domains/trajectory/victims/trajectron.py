"""Several futures with probabilities: a conditional variational autoencoder over a vehicle's controls."""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import PEDESTRIAN, Observation, Prediction, SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim
from robeval.domains.trajectory.victims.motion import (
    SPEED_M_S,
    STANDING_M,
    TargetFrame,
    directions,
    is_person,
    motion_of,
    steps_of,
    target_frame,
)
from robeval.domains.trajectory.victims.unicycle import drive, limited

REACH_M, REACH_OF_PEOPLE_M, REACH_BETWEEN_PEOPLE_M = 30.0, 20.0, 10.0
LOG_LIKELIHOOD_CEILING = 6.0
FREE_NATS = 0.07
SPREAD_FLOOR_M = 0.02


class Context(NamedTuple):
    """What the encoders saw, the frame of the target and its speed (never 0, so that it has a slope)."""

    encoding: Float[Tensor, "rows features"]
    frame: TargetFrame
    speed_m_s: Float[Tensor, " rows"]


class Futures(NamedTuple):
    """Per mode: path in the scene's frame and the spread around each of its steps, metres."""

    paths: Float[Tensor, "rows modes horizon 2"]
    spread_m: Float[Tensor, "rows modes horizon"]


class Trajectron(TrajectoryVictim):
    """A CVAE with `modes` discrete futures; each is driven by a unicycle, and the modes are its deterministic answer.

    Source: Trajectron++ (Salzmann et al., arXiv:2001.03093); facts as in the authors' repository.
    Differs: no map; 6 modes instead of 25; states in the target's own frame, with changes of velocity for
    accelerations; neighbours' states are embedded before they are summed; vehicles and people (pedestrians, cyclists)
    as edge types, without the filter that fades new edges in; a step is driven along the arc of its mean speed; the
    spread is round, grows step by step and is not propagated through the unicycle; the KL weight is 1 throughout; no
    mutual information term (it would tie an example's loss to its batch); the most likely mode, which is what gets
    attacked, is also trained by its own error.
    """

    def __init__(
        self,
        *,
        modes: Annotated[int, Field(ge=1, description="futures per target")] = 6,
        hidden: Annotated[int, Field(ge=1, description="size of the encoders' recurrent states")] = 32,
        decoder: Annotated[int, Field(ge=1, description="size of the decoder's recurrent state")] = 48,
        steps: Annotated[int, Field(ge=0, description="training steps")] = 500,
        train_batch_size: Annotated[int, Field(ge=1, description="scenes in a training step")] = 128,
        learning_rate: Annotated[float, Field(gt=0, description="Adam's first step size")] = 4e-3,
        checkpoint: Annotated[
            str | None, Field(description="weights to load instead of training (.safetensors, .ckpt)")
        ] = None,
    ) -> None:
        super().__init__()
        self.steps, self.train_batch_size, self.learning_rate = steps, train_batch_size, learning_rate
        self.checkpoint = checkpoint
        self.modes = modes
        self.history = nn.LSTM(7, hidden, batch_first=True)
        self.neighbour = nn.Sequential(nn.Linear(11, hidden), nn.ReLU())
        self.vehicles = nn.LSTM(7 + hidden, hidden, batch_first=True)
        self.people = nn.LSTM(7 + hidden, hidden, batch_first=True)
        self.attend_edge = nn.Linear(hidden, hidden, bias=False)
        self.attend_history = nn.Linear(hidden, hidden)
        self.attend = nn.Linear(hidden, 1, bias=False)
        self.prior = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, modes))
        self.future = nn.LSTM(3, hidden, batch_first=True, bidirectional=True)
        self.posterior = nn.Sequential(nn.Linear(4 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, modes))
        self.start = nn.Linear(2 * hidden + modes, decoder)
        self.given = nn.Linear(2 * hidden + modes, 3 * decoder)
        self.fed_back = nn.Linear(2, 3 * decoder, bias=False)
        self.recur = nn.Linear(decoder, 3 * decoder)
        self.control = nn.Linear(decoder, 3)

    def features(self, seen: Observation) -> Float[Tensor, "rows features"]:
        """The encoding of history and neighbours."""
        return self._encode(seen).encoding

    def predict(self, seen: Observation) -> Prediction:
        """The path of every mode and p(mode | history)."""
        context = self._encode(seen)
        return Prediction(self._decode(context, seen).paths, self.prior(context.encoding).softmax(dim=-1))

    def loss(self, batch: SceneBatch) -> Float[Tensor, " batch"]:
        """The negative evidence bound per future step in nats (the likelihood of the truth under the modes that the
        posterior believes in, and the posterior's distance from the prior), and the most likely mode's error in metres.
        """
        seen = batch.observation()
        truth, known = batch.future().flatten(0, 1), batch.future_present().flatten(0, 1)
        context = self._encode(seen)
        futures = self._decode(context, seen)
        prior = self.prior(context.encoding).log_softmax(dim=-1)
        posterior = self._posterior(context, seen, truth, known).log_softmax(dim=-1)
        error = ((futures.paths - truth.unsqueeze(1)).square().sum(-1) + 1e-6).sqrt()
        # Falls off exponentially with distance: braking is rare and far, and would drag a Gaussian's mean along.
        log_density = -error / futures.spread_m - (2 * torch.pi * futures.spread_m.square()).log()
        likely = (log_density.clamp_max(LOG_LIKELIHOOD_CEILING) * known.unsqueeze(1)).sum(-1)
        belief = posterior.exp()
        expected = (belief * likely).sum(-1)
        apart = (belief * (posterior - prior)).sum(-1).clamp_min(FREE_NATS)
        first = prior.argmax(dim=-1, keepdim=True)
        first_error = ((error * known.unsqueeze(1)).sum(-1)).gather(1, first).squeeze(1)
        per_step = (apart - expected + first_error) / known.sum(-1).clamp_min(1)
        loss: Tensor = per_step.view(len(batch), batch.windows).mean(dim=1)
        return loss

    def _encode(self, seen: Observation) -> Context:
        steps = steps_of(seen.past, seen.present)
        frame = target_frame(seen, steps, follow_last_step=True)
        dt = seen.dt.to(seen.past.dtype)
        state = torch.cat([motion_of(seen, steps, frame), frame.turned(directions(steps.moved))], dim=-1)
        own, others = state[:, 0], self._others(seen, state, frame)
        history = self.history(own)[1][0][-1]
        people = is_person(seen.kind[:, 1:])
        reach = torch.where(people, REACH_OF_PEOPLE_M, REACH_M)
        both = (seen.kind[:, 1:] == PEDESTRIAN) & (seen.kind[:, :1] == PEDESTRIAN)
        reach = torch.where(both, REACH_BETWEEN_PEOPLE_M, reach)
        distance = (seen.past[:, 1:, -1] - frame.now.unsqueeze(1)).detach().norm(dim=-1)
        near = seen.present[:, 1:, -1] & (distance < reach)
        edges = torch.stack(
            [
                self._edge(self.vehicles, own, others, near & ~people),
                self._edge(self.people, own, others, near & people),
            ],
            dim=1,
        )
        score = self.attend(torch.tanh(self.attend_edge(edges) + self.attend_history(history).unsqueeze(1)))
        influence = (score.softmax(dim=1) * edges).sum(dim=1)
        speed = (frame.step.square().sum(-1) + STANDING_M**2).sqrt() / dt
        return Context(torch.cat([history, influence], dim=-1), frame, speed)

    def _others(self, seen: Observation, state: Tensor, frame: TargetFrame) -> Tensor:
        """The neighbours' states and places, embedded: [rows, others, steps, hidden]."""
        frames = state.shape[2]
        place = frame.turned(seen.past[:, 1:, -frames:] - frame.now.view(-1, 1, 1, 2))
        place = torch.where(seen.present[:, 1:, -frames:].unsqueeze(-1), place, 0.0)
        embedded: Tensor = self.neighbour(
            torch.cat([place / REACH_M, directions(place), state[:, 1:]], dim=-1)
        )
        return embedded

    def _edge(
        self, encoder: nn.LSTM, own: Tensor, others: Tensor, near: Bool[Tensor, "rows others"]
    ) -> Float[Tensor, "rows hidden"]:
        """The influence of all near neighbours of one type; 0 without any."""
        summed = torch.einsum("ro,rotc->rtc", near.to(others.dtype), others)
        encoding = encoder(torch.cat([own, summed], dim=-1))[1][0][-1]
        influence: Tensor = encoding * near.any(dim=1, keepdim=True)
        return influence

    def _posterior(
        self,
        context: Context,
        seen: Observation,
        truth: Float[Tensor, "rows horizon 2"],
        known: Bool[Tensor, "rows horizon"],
    ) -> Float[Tensor, "rows modes"]:
        """Logits of q(mode | history, future)."""
        off = context.frame.turned(truth - context.frame.straight(seen.horizon)) / SPEED_M_S
        mask = known.unsqueeze(-1)
        ahead = self.future(torch.cat([torch.where(mask, off, 0.0), mask.to(off.dtype)], dim=-1))[1][0]
        logits: Tensor = self.posterior(torch.cat([context.encoding, ahead[0], ahead[1]], dim=-1))
        return logits

    def _decode(self, context: Context, seen: Observation) -> Futures:
        """All modes at once: a GRU whose input is the mode, the encoding and its own last control."""
        rows = len(context.encoding)
        mode = torch.eye(self.modes, device=context.encoding.device, dtype=context.encoding.dtype)
        given = torch.cat(
            [context.encoding.unsqueeze(1).expand(-1, self.modes, -1), mode.expand(rows, -1, -1)], dim=-1
        )
        state, constant = self.start(given).tanh(), self.given(given)
        control = state.new_zeros(rows, self.modes, 2)
        controls, growth = [], []
        for _ in range(seen.horizon):
            state = _gated(state, constant + self.fed_back(control), self.recur(state))
            raw = self.control(state)
            control = limited(raw[..., :2])
            controls.append(control)
            growth.append(nn.functional.softplus(raw[..., 2]))
        dt = seen.dt.to(state.dtype).view(-1, 1, 1)
        driven = drive(torch.stack(controls, dim=2), context.speed_m_s.view(-1, 1, 1), dt)
        paths = context.frame.straight(seen.horizon).unsqueeze(1) + context.frame.turned_back(driven)
        variance = torch.stack(growth, dim=2).square().cumsum(dim=2)
        return Futures(paths, (variance + SPREAD_FLOOR_M**2).sqrt())


def _gated(state: Tensor, inputs: Tensor, recurrent: Tensor) -> Tensor:
    """One step of a gated recurrent unit whose three input and recurrent products are given."""
    reset_in, update_in, new_in = inputs.chunk(3, dim=-1)
    reset_of, update_of, new_of = recurrent.chunk(3, dim=-1)
    update = torch.sigmoid(update_in + update_of)
    new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_of) * new_of)
    return new + update * (state - new)
