"""Road scenes, victims and an independent bounds check for the attacks on trajectory prediction."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robeval.domains.trajectory.batch import SMALL_VEHICLE, Observation, Prediction, SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.objectives import objective_values, yardstick
from robeval.domains.trajectory.victims.base import Predictor, displacement
from robeval.plugins.contracts import Attack
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed

NUSCENES = (8.599, 1.275, 0.468, 1.957, 0.535)


def roads(
    count: int,
    *,
    dtype: torch.dtype = torch.float64,
    windows: int = 1,
    seed: int = 0,
    limits: tuple[float, ...] = NUSCENES,
    noise_m: float = 0.02,
) -> SceneBatch:
    """Targets on bends, 1 to 13 m/s, braking or speeding up; one neighbour; 4 observed and 12 predicted
    frames."""
    draw = torch.Generator().manual_seed(seed)
    frames = 4 + windows - 1 + 12

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=draw, dtype=torch.float64)

    time = torch.arange(frames, dtype=torch.float64)
    speed = (uniform(0.5, 6.5) + uniform(-0.15, 0.15) * time).clamp_min(0.2)
    heading = uniform(-math.pi, math.pi) + (uniform(-0.02, 0.02) * speed).cumsum(dim=1)
    path = (speed.unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], dim=-1)).cumsum(dim=1)
    path = path + noise_m * torch.randn(count, frames, 2, generator=draw, dtype=torch.float64)
    neighbour = path + torch.tensor([0.0, 8.0], dtype=torch.float64)
    return SceneBatch(
        ids=tuple(f"road-{seed}-{number}" for number in range(count)),
        track=torch.stack([path, neighbour], dim=1).to(dtype),
        present=torch.ones(count, 2, frames, dtype=torch.bool),
        kind=torch.full((count, 2), SMALL_VEHICLE, dtype=torch.int8),
        heading=heading.unsqueeze(1).repeat(1, 2, 1).to(dtype),
        size=torch.tensor([4.5, 1.9]).to(dtype).expand(count, 2, 2).clone(),
        dt=torch.full((count,), 0.5),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.tensor(limits).expand(count, 5).clone(),
        ego=torch.full((count, frames, 2), torch.nan, dtype=dtype),
        lanes=torch.zeros(count, 0, 0, 2, dtype=dtype),
        scene=tuple(f"scene-{number}" for number in range(count)),
        regime=("medium",) * count,
        history=4,
        horizon=12,
        windows=windows,
    )


class Straight(Predictor):
    """Goes on with the last step: its worst displacements are known in closed form."""

    def predict(self, seen: Observation) -> Prediction:
        last, step = seen.past[:, 0, -1], seen.past[:, 0, -1] - seen.past[:, 0, -2]
        ahead = torch.arange(1, seen.horizon + 1, dtype=step.dtype).view(1, -1, 1)
        path = last.unsqueeze(1) + ahead * step.unsqueeze(1)
        return Prediction(path.unsqueeze(1), torch.ones(len(path), 1, dtype=path.dtype))


class Recurrent(Predictor):
    """A GRU over steps that corrects straight motion; a second, unlikely mode stands still."""

    def __init__(self, horizon: int = 12, hidden: int = 24) -> None:
        super().__init__()
        self.encoder = nn.GRU(2, hidden, batch_first=True)
        self.decoder = nn.Linear(hidden, 2 * horizon)

    def predict(self, seen: Observation) -> Prediction:
        steps = seen.past[:, 0].diff(dim=1)
        _, state = self.encoder(steps)
        ahead = torch.arange(1, seen.horizon + 1, dtype=steps.dtype).view(1, -1, 1)
        change = self.decoder(state[-1]).unflatten(1, (seen.horizon, 2)) * ahead
        path = seen.past[:, 0, -1:] + ahead * steps[:, -1:] + change
        still = seen.past[:, 0, -1:].expand_as(path)
        probability = path.new_tensor([0.1, 0.9]).expand(len(path), 2)
        return Prediction(torch.stack([still, path], dim=1), probability)


class Outcome(NamedTuple):
    """What an attack did to a victim."""

    clean: SceneBatch
    adversarial: SceneBatch
    view: View[SceneBatch]
    before: Tensor
    after: Tensor
    ade_before: Tensor
    ade_after: Tensor

    @property
    def offset(self) -> Tensor:
        """Displacement of the attacked frames."""
        return self.adversarial.offset_from(self.clean)


def attack(
    attacker: Attack[SceneBatch], victim: nn.Module, scenes: SceneBatch, budget: float = 1.0, seed: int = 0
) -> Outcome:
    """Run an attack as the engine does, and measure all six objectives before and after."""
    view = View(victim, Trajectory(), attacker.threat, scenes.ids)
    with under_attack(victim):
        adversarial = attacker.perturb(view, scenes, budget, Seed(seed).draws(scenes.ids))
    against = yardstick(scenes)
    with torch.no_grad():
        paths = [victim(batch).most_likely() for batch in (scenes, adversarial)]
        values = [objective_values(path, against) for path in paths]
        errors = [displacement(path, scenes).flatten(1).mean(dim=1) for path in paths]
    return Outcome(scenes, adversarial, view, *values, *errors)


def worst_share(clean: SceneBatch, adversarial: SceneBatch) -> list[float]:
    """The largest share of a kinematic limit that each target takes, frame by frame in plain Python."""
    shares = []
    for row in range(len(clean)):
        present = clean.present[row, 0].numpy()
        before = _motion(clean.target[row].double().numpy(), present)
        after = _motion(adversarial.target[row].double().numpy(), present)
        limits = clean.limits[row].double().numpy()[:, None]
        shares.append(float((after / np.maximum(limits, before)).max()))
    return shares


def _motion(track: np.ndarray, present: np.ndarray) -> np.ndarray:
    found = np.zeros((5, len(track)))
    for k in range(len(track) - 1):
        v = track[k + 1] - track[k]
        unit = v / (np.hypot(*v) + 0.001)
        side = np.array([unit[1], -unit[0]])
        if present[k : k + 2].all():
            found[0, k] = np.hypot(*v)
        if present[k : k + 3].all() and k + 3 <= len(track):
            a = track[k + 2] - 2 * track[k + 1] + track[k]
            found[1, k], found[2, k] = abs(unit @ a), abs(side @ a)
        if present[k : k + 4].all() and k + 4 <= len(track):
            j = track[k + 3] - 3 * track[k + 2] + 3 * track[k + 1] - track[k]
            found[3, k], found[4, k] = abs(unit @ j), abs(side @ j)
    return found


@pytest.fixture
def roads_of() -> Callable[..., SceneBatch]:
    """Makes road scenes; see `roads`."""
    return roads


@pytest.fixture
def run_attack() -> Callable[..., Outcome]:
    """Runs an attack on a victim; see `attack`."""
    return attack


@pytest.fixture
def worst_share_of() -> Callable[[SceneBatch, SceneBatch], list[float]]:
    """An independent check of the kinematic bounds; see `worst_share`."""
    return worst_share


@pytest.fixture
def straight_victim() -> Predictor:
    """Constant velocity in double precision."""
    return Straight()


@pytest.fixture(scope="session")
def learned_victim() -> Predictor:
    """A small recurrent predictor in double precision, trained for a second or two on road scenes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = Recurrent().double()
    optimiser = torch.optim.Adam(victim.parameters(), lr=3e-3)
    data = roads(2048, seed=7)
    order = torch.Generator().manual_seed(0)
    for _ in range(300):
        batch = data.select(torch.randint(len(data), (64,), generator=order))
        loss = displacement(victim(batch).most_likely(), batch).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return victim.eval().requires_grad_(False)


@pytest.fixture
def straight_roads() -> SceneBatch:
    """Six targets that drive along +x at 1 to 11 m/s without any noise, under no kinematic limit to speak
    of."""
    scenes = roads(6, limits=(1e3,) * 5)
    speed = torch.arange(0.5, 6, dtype=torch.float64).view(6, 1, 1, 1)
    x = speed * torch.arange(16, dtype=torch.float64).view(1, 1, 16, 1)
    return scenes.replace(track=torch.cat([x, torch.zeros_like(x)], dim=-1).expand(6, 2, 16, 2).clone())
