"""SA-Attack as an attack: what it returns, what it promises, what it leaves alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robeval.domains.trajectory.batch import PAD, SMALL_VEHICLE, Observation, Prediction, SceneBatch
from robeval.domains.trajectory.budget import spent
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.objectives import OBJECTIVES, objective_values, yardstick
from robeval.domains.trajectory.victims.base import Predictor, displacement
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.trajectory.pursuit import Hunt
from robeval_attacks.trajectory.sa_attack import SAAttack

DT, HISTORY, HORIZON = 0.5, 4, 12
FAST: dict[str, Any] = {"restarts": 2, "iterations": 2}


class Recurrent(Predictor):
    """A small recurrent predictor over displacements with fixed weights, on top of constant velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 8, batch_first=True).double()
        self.head = nn.Linear(8, 2 * HORIZON).double()
        values = Seed(5).draws(["weights"])
        for parameter in self.parameters():
            parameter.data = values.normal(*parameter.shape, std=0.4, dtype=torch.float64)[0]

    def predict(self, seen: Observation) -> Prediction:
        """One path in double precision."""
        past = seen.past[:, 0].double()
        step = past.diff(dim=1)
        state = self.rnn(step / 4)[0][:, -1]
        time = torch.arange(1, seen.horizon + 1).double().view(1, -1, 1)
        straight = past[:, -1:] + time * step[:, -1:]
        path = straight + 0.3 * time * self.head(state).view(len(past), HORIZON, 2)[:, : seen.horizon]
        return Prediction(path.unsqueeze(1), torch.ones(len(past), 1, dtype=path.dtype))


class Silent(Predictor):
    """Answers NaN."""

    def predict(self, seen: Observation) -> Prediction:
        """One path of NaN that still depends on the past."""
        path = (seen.past[:, 0, -1:] * torch.nan).expand(-1, seen.horizon, -1)
        return Prediction(path.unsqueeze(1), torch.ones_like(path[:, :1, 0]))


def scenes_of(track: Tensor, windows: int = 1, **changes: Any) -> SceneBatch:
    """Scenes around target tracks [batch, frames, 2] with one neighbour and no headings."""
    count, frames, _ = track.shape
    others = torch.zeros(count, 2, frames, 2, dtype=track.dtype)
    others[:, 0] = track + 4.0
    present = torch.ones(count, 3, frames, dtype=torch.bool)
    present[:, 2] = False
    scenes = SceneBatch(
        ids=tuple(f"scene-{number}" for number in range(count)),
        track=torch.cat([track.unsqueeze(1), others], dim=1),
        present=present,
        kind=torch.tensor([[SMALL_VEHICLE, SMALL_VEHICLE, PAD]], dtype=torch.int8).repeat(count, 1),
        heading=torch.full((count, 3, frames), torch.nan, dtype=track.dtype),
        size=torch.tensor([[4.0, 2.0]], dtype=track.dtype).repeat(count, 3, 1),
        dt=torch.full((count,), DT),
        origin=torch.zeros(count, 2, dtype=torch.float64),
        limits=torch.tensor([[8.599, 1.275, 0.468, 1.957, 0.535]]).repeat(count, 1),
        ego=torch.full((count, frames, 2), torch.nan, dtype=track.dtype),
        lanes=torch.zeros(count, 0, 0, 2, dtype=track.dtype),
        scene=tuple(f"recording-{number}" for number in range(count)),
        regime=("medium",) * count,
        history=HISTORY,
        horizon=frames - HISTORY - windows + 1,
        windows=windows,
    )
    return scenes.replace(**changes)


def bends(
    speeds_m_s: list[float], frames: int = HISTORY + HORIZON, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Tracks at given speeds, each on a bend of its own, some way from the origin: [batch, frames, 2]."""
    speed = torch.tensor(speeds_m_s, dtype=torch.float64).unsqueeze(1)
    number = torch.arange(len(speeds_m_s), dtype=torch.float64).unsqueeze(1)
    angle = number + 0.01 * (1 + number % 3) * speed * DT * torch.arange(frames)
    step = speed.unsqueeze(-1) * DT * torch.stack([angle.cos(), angle.sin()], dim=-1)
    return (step.cumsum(dim=1) + 100.0).to(dtype)


def attacked(
    attack: SAAttack, scenes: SceneBatch, victim: nn.Module | None = None, budget: float = 1.0
) -> tuple[SceneBatch, View[SceneBatch]]:
    """The adversarial scenes, and the view that the attack had."""
    victim = victim or Recurrent()
    with under_attack(victim):
        view: View[SceneBatch] = View(victim, Trajectory(), attack.threat, scenes.ids)
        return attack.perturb(view, scenes, budget, Seed(0).draws(scenes.ids)), view


@torch.no_grad()
def error_m(scenes: SceneBatch) -> Tensor:
    """Euclidean ADE of the recurrent victim."""
    return displacement(Recurrent()(scenes).most_likely(), scenes).flatten(1).mean(dim=1)


@torch.no_grad()
def objectives(scenes: SceneBatch, clean: SceneBatch) -> Tensor:
    """All six objectives of the recurrent victim."""
    return objective_values(Recurrent()(scenes).most_likely(), yardstick(clean))


MOVING = [1.5, 3.0, 6.0]


@pytest.mark.parametrize("options", [{}, {"mode": "repo"}, {"gradient": "exact"}, {"optimiser": "gd"}])
def test_the_error_rises(options: dict[str, Any]) -> None:
    """In every mode the victim errs more than on the clean scenes, on each target above walking speed."""
    scenes = scenes_of(bends([7.0, 8.0]))
    adversarial, _ = attacked(SAAttack(restarts=2, iterations=10, **options), scenes)
    assert (error_m(adversarial) > error_m(scenes) + 0.2).all()


@pytest.mark.parametrize("objective", ["left", "right", "front", "rear"])
def test_a_directional_goal_raises_its_own_objective(objective: str) -> None:
    """The prediction moves to the wanted side on every fast target."""
    scenes = scenes_of(bends([8.0, 9.0]))
    adversarial, _ = attacked(SAAttack(objective=objective, restarts=2, iterations=8), scenes)  # type: ignore[arg-type]
    number = OBJECTIVES.index(objective)
    gain = objectives(adversarial, scenes)[:, number] - objectives(scenes, scenes)[:, number]
    assert (gain > 0.2).all()


def test_the_exact_slope_is_not_the_passed_one() -> None:
    """Through the drive, the attack takes another way than straight through it."""
    scenes = scenes_of(bends([6.0, 12.0]))
    through, _ = attacked(SAAttack(gradient="exact", **FAST), scenes)
    passed, _ = attacked(SAAttack(gradient="ste", **FAST), scenes)
    assert (through.offset_from(scenes) - passed.offset_from(scenes)).abs().max() > 1e-3


@pytest.mark.parametrize("budget", [0.2, 1.0])
def test_adaptive_keeps_the_budget(budget: float) -> None:
    """No frame is displaced by more than the budget, measured on what comes back, 1 km from the origin."""
    scenes = scenes_of(bends([3.0, 9.0], 18) + 900.0, windows=3)
    adversarial, _ = attacked(SAAttack(objective="all", **FAST), scenes, budget=budget)
    used = spent(scenes, adversarial)["deviation"]
    assert (used <= budget).all()
    assert used.max() > 0.3 * budget


def test_published_may_leave_the_budget() -> None:
    """Constant speed displaces a hard-braking car by more than the metre that was granted."""
    time = DT * torch.arange(HISTORY + HORIZON)
    x = torch.where(time < 3, 10 * time - 1.5 * time**2, 16.5 + 0 * time)
    scenes = scenes_of(torch.stack([x, 0 * x], dim=-1).unsqueeze(0))
    adversarial, _ = attacked(SAAttack(mode="repo", **FAST), scenes)
    assert spent(scenes, adversarial)["deviation"] > 1.0


@pytest.mark.parametrize("mode", ["repo", "adaptive"])
def test_only_the_attacked_frames_of_the_target_change(mode: Any) -> None:
    """Neighbours, the future, and the input itself stay as they were."""
    scenes = scenes_of(bends(MOVING))
    before = scenes.select(slice(None)).replace(track=scenes.track.clone())
    adversarial, _ = attacked(SAAttack(mode=mode, **FAST), scenes)
    assert scenes.identical(before)
    assert adversarial.replace(track=scenes.track).identical(scenes)
    assert torch.equal(adversarial.track[:, 1:], scenes.track[:, 1:])
    assert torch.equal(adversarial.target[:, HISTORY:], scenes.target[:, HISTORY:])
    assert not torch.equal(adversarial.target, scenes.target)


@pytest.mark.parametrize("options", [{}, {"mode": "repo"}, {"objective": "all"}])
def test_a_batch_finds_what_each_scene_alone_finds(options: dict[str, Any]) -> None:
    """Batched and one by one agree within 1e-5 m, whoever the neighbours are."""
    scenes = scenes_of(bends(MOVING, dtype=torch.float64))
    attack = SAAttack(**FAST, **options)
    together, _ = attacked(attack, scenes)
    alone = [attacked(attack, scenes.select([number]))[0] for number in range(len(scenes))]
    torch.testing.assert_close(SceneBatch.join(alone).track, together.track, atol=1e-5, rtol=0)
    some, _ = attacked(attack, scenes.select([2, 0]))
    torch.testing.assert_close(some.track, together.track[[2, 0]], atol=1e-5, rtol=0)


def test_all_is_the_worst_of_the_six() -> None:
    """Six objectives at once give, scene by scene, the largest Euclidean error of the six single runs."""
    scenes = scenes_of(bends([3.0, 6.0], dtype=torch.float64))
    single = [
        error_m(attacked(SAAttack(objective=name, **FAST), scenes)[0])  # type: ignore[arg-type]
        for name in OBJECTIVES
    ]
    every = error_m(attacked(SAAttack(objective="all", **FAST), scenes)[0])
    torch.testing.assert_close(every, torch.stack(single).amax(dim=0))


@pytest.mark.parametrize("mode", ["repo", "adaptive"])
def test_more_effort_never_finds_less(mode: Any) -> None:
    """More restarts and more iterations keep or raise the objective of every scene."""
    scenes = scenes_of(bends(MOVING, dtype=torch.float64))

    def found(restarts: int, iterations: int) -> Tensor:
        attack = SAAttack(mode=mode, restarts=restarts, iterations=iterations)
        return objectives(attacked(attack, scenes)[0], scenes)[:, 0]

    least = found(1, 2)
    restarts, iterations = found(4, 2), found(1, 5)
    assert (restarts >= least - 1e-9).all()
    assert (iterations >= least - 1e-9).all()
    assert (restarts > least + 1e-3).any()
    assert (iterations > least + 1e-3).any()


def test_published_is_inert_at_low_speed() -> None:
    """Below 2 m/s every restart of the published mode drives the same history, to a few millimetres."""
    scenes = scenes_of(bends([1.0, 1.5, 2.0], dtype=torch.float64))
    offsets = [
        attacked(SAAttack(mode="repo", objective=goal, **FAST), scenes)[0].offset_from(scenes)
        for goal in ("left", "right")
    ]
    assert (offsets[0] - offsets[1]).norm(dim=-1).max() < 0.01


@pytest.mark.parametrize("mode", ["repo", "adaptive"])
def test_targets_that_cannot_be_rebuilt_are_left_clean_and_named(mode: Any) -> None:
    """Standing, absent in an attacked frame, absent in the goal frame: each has its status."""
    track = bends([0.0, 0.4, 8.0, 8.0, 8.0])
    scenes = scenes_of(track)
    present = scenes.present.clone()
    present[2, 0, 1] = False
    present[3, 0, HISTORY] = False
    moved = scenes.track.clone()
    moved[2, 0, 1] = 0.0
    scenes = scenes.replace(present=present, track=moved)
    adversarial, view = attacked(SAAttack(mode=mode, **FAST), scenes)
    assert view.notes["stationary"].tolist() == [True, True, False, False, False]
    assert view.notes["incomplete"].tolist() == [False, False, True, True, False]
    change = adversarial.offset_from(scenes).flatten(1).abs().amax(dim=1)
    assert (change > 0).tolist() == [False, False, False, False, True]
    assert view.queries.tolist()[:4] == [0, 0, 0, 0]


def test_nobody_to_attack_is_no_error() -> None:
    """With standing targets only, the scenes come back and the victim is not asked."""
    scenes = scenes_of(bends([0.0, 0.1]))
    adversarial, view = attacked(SAAttack(**FAST), scenes)
    assert adversarial.identical(scenes)
    assert view.forward_rows == 0


def test_a_drive_that_never_arrives_is_named() -> None:
    """A track that turns on the spot cannot be driven: left clean, `not_converged`."""
    track = bends([8.0, 8.0])
    track[0, :5] = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.6, 0.6], [0.0, 1.2], [-0.6, 1.2]])
    scenes = scenes_of(track)
    adversarial, view = attacked(SAAttack(**FAST), scenes)
    assert view.notes["not_converged"].tolist() == [True, False]
    assert torch.equal(adversarial.target[0], scenes.target[0])


def test_a_victim_that_answers_nan_is_named() -> None:
    """Rows without a finite loss stop; the scene is left clean with status `nan`."""
    scenes = scenes_of(bends([8.0]))
    adversarial, view = attacked(SAAttack(**FAST), scenes, Silent())
    assert view.notes["nan"].tolist() == [True]
    assert adversarial.identical(scenes)
    assert view.forward_rows == FAST["restarts"]


def test_braking_to_a_halt_is_attacked_at_its_own_pace() -> None:
    """A target that stops within the history is rebuilt within the budget and still ends where it stopped."""
    time = DT * torch.arange(HISTORY + HORIZON)
    x = torch.where(time < 1.5, 6 * time - 2 * time**2, 4.5 + 0 * time)
    scenes = scenes_of(torch.stack([x, 0 * x], dim=-1).unsqueeze(0))
    adversarial, view = attacked(SAAttack(**FAST), scenes)
    assert not view.notes
    offset = adversarial.offset_from(scenes).norm(dim=-1)[0]
    assert offset[:-1].max() <= 1.0
    assert offset[-1] < 0.05


def test_six_windows_share_one_displacement() -> None:
    """Multi-frame attacks displace history + windows - 1 frames, and every window's error counts."""
    scenes = scenes_of(bends([5.0, 7.0], 21), windows=6)
    adversarial, _ = attacked(SAAttack(**FAST), scenes)
    assert adversarial.offset_from(scenes).shape == (2, 9, 2)
    assert (error_m(adversarial) > error_m(scenes)).all()


def test_cost_is_one_pass_per_row_and_iteration() -> None:
    """Rows x iterations forward and backward: nothing is asked twice."""
    scenes = scenes_of(bends([5.0, 9.0, 13.0]))
    _, view = attacked(SAAttack(restarts=2, iterations=5), scenes)
    assert view.forward_rows == 3 * 2 * 5
    assert view.backward_rows == view.forward_rows


def test_no_budget_is_no_attack() -> None:
    """With a budget of 0 m the scenes come back."""
    scenes = scenes_of(bends([9.0]))
    assert attacked(SAAttack(**FAST), scenes, budget=0.0)[0].identical(scenes)


def test_a_look_by_hand() -> None:
    """The published slope is the summed windows' at the driven history, times the scale, for its own row."""
    scenes = scenes_of(bends([5.0, 7.0], 18, torch.float64), windows=3)
    attack, victim = SAAttack(mode="repo", restarts=1), Recurrent()
    variable = Seed(3).draws(scenes.ids).uniform(6, 2, low=-2.0, high=2.0, dtype=torch.float64)
    with under_attack(victim):
        view: View[SceneBatch] = View(victim, Trajectory(), attack.threat, scenes.ids)
        problem = attack._problem(Hunt.of(view, scenes, 1.0, "ade", 1))
        looked = problem.select(torch.tensor([1])).look(variable[1:])
        offset = looked.point.clone().requires_grad_()
        moved = scenes.select([1]).moved(offset)
        error = victim(moved).most_likely() - scenes.select([1]).future()
        summed = error.square().sum(dim=-1).mean(dim=-1).sum()
        (slope,) = torch.autograd.grad(summed, offset)
    scale = problem.vehicle.scale(variable)[1]
    assert 0 < scale < 1
    torch.testing.assert_close(looked.value, summed.detach().view(1) / 3)
    torch.testing.assert_close(looked.slope, slope * scale)
    assert problem.arrived.tolist() == [False, True]
