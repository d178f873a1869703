"""The attack inside hurts and stays drivable; training on it helps against it."""

import pytest
import pytorch_lightning as pl
import torch

from robeval.domains.trajectory.batch import Observation, Prediction
from robeval.domains.trajectory.kinematics import excess
from robeval.domains.trajectory.victims.base import TrajectoryVictim, certain
from robeval.seeding import Seed
from robeval_defenses.trajectory.adversarial_training import AdversarialTraining
from robeval_defenses.trajectory.inner_attack import worst_offset
from robeval_defenses.trajectory.manoeuvres import LANE_M, manoeuvre, with_manoeuvres


def attacked_error(victim, batch, steps: int = 5) -> torch.Tensor:
    """Each scene's error under the attack inside, metres."""
    offset = worst_offset(victim, batch, steps=steps, step_m=0.3, deviation_m=1.0)
    with torch.no_grad():
        return victim.loss(batch.moved(offset))


def test_the_attack_inside_hurts_and_can_be_driven(scenes, steady) -> None:
    """The error rises for nearly every scene; bounds and deviation hold for all."""
    batch = scenes(100)
    offset = worst_offset(steady, batch, steps=3, step_m=0.3, deviation_m=0.5)
    moved = batch.moved(offset)
    assert (steady.loss(moved) > steady.loss(batch)).float().mean() > 0.95
    assert excess(moved.target, batch.target, batch.limits, batch.present[:, 0]).max() <= 1 + 1e-4
    assert offset.norm(dim=-1).max() <= 0.5 + 1e-5


def test_one_step_follows_the_gradient(scenes, steady) -> None:
    """The most sensitive frame of constant velocity is the last; it moves by the whole step."""
    batch = loose(scenes(50))
    size = worst_offset(steady, batch, steps=1, step_m=0.3, deviation_m=1.0).norm(dim=-1)
    assert torch.allclose(size[:, -1], torch.full((50,), 0.3), atol=1e-4)
    assert (size[:, -2] < 0.3).all()
    assert (size[:, :2] == 0).all()


def test_more_steps_hurt_more(scenes, steady) -> None:
    """Three steps raise the mean error above one step's."""
    batch = scenes(64)
    one, three = (attacked_error(steady, batch, steps).mean() for steps in (1, 3))
    assert three > one > steady.loss(batch).mean()


def test_the_objective_is_the_sum_of_its_parts(scenes, tiny, data) -> None:
    """Clean loss plus attacked loss plus the tie between encodings, with its weight."""
    batch = scenes(6)
    offset = worst_offset(tiny, batch, 3, 0.3, 1.0)
    attacked = batch.moved(offset)
    apart = (tiny.features(attacked.observation()) - tiny.features(batch.observation())).square().sum(-1)
    expected = tiny.loss(batch) + tiny.loss(attacked)
    for tie in (0.0, 0.1, 2.0):
        module = AdversarialTraining(tie=tie).robustify(tiny, data, Seed(0))
        assert torch.allclose(module.objective(batch), expected + tie * apart, atol=1e-4)


def test_a_victim_without_an_encoding_is_not_tied(scenes, steady, data) -> None:
    """Constant velocity has no features; its objective is the two losses."""
    module = AdversarialTraining(tie=5.0).robustify(steady, data, Seed(0))
    assert module.objective(scenes(3)).isfinite().all()


def test_steps_are_the_defense_own(tiny, data) -> None:
    """The option sets the training steps, and training starts from the clean victim."""
    assert AdversarialTraining(steps=7).robustify(tiny, data, Seed(0)).steps == 7
    assert AdversarialTraining.warm_start


class Weighted(TrajectoryVictim):
    """Goes on with a weighted sum of the last three steps; starts with the last one only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.0, 0.0, 1.0]))

    def predict(self, seen: Observation) -> Prediction:
        past = seen.past[:, 0]
        step = (past.diff(dim=1) * self.weight.view(1, 3, 1)).sum(dim=1, keepdim=True)
        ahead = torch.arange(1, seen.horizon + 1, dtype=past.dtype).view(1, -1, 1)
        return certain(past[:, -1:] + ahead * step)


def loose(batch):
    """The scenes without kinematic limits: the attack inside may then jolt single frames."""
    return batch.replace(limits=torch.full((len(batch), 5), 99.0))


def trained(data, defense: AdversarialTraining | None) -> Weighted:
    """Fifteen steps of training, on the victim's own loss or on the defense's objective."""
    victim = Weighted()
    optimizer = torch.optim.Adam(victim.parameters(), lr=0.05)
    objective = victim.loss if defense is None else defense.robustify(victim, data, Seed(0)).objective
    for step in range(15):
        rows = loose(data.split("train").select(slice(16 * step, 16 * step + 16)))
        optimizer.zero_grad()
        objective(rows).mean().backward()
        optimizer.step()
    return victim.eval()


def test_adversarial_training_lowers_the_attacked_error(data) -> None:
    """From the same start and with as many steps, the attacked error ends below plain training's."""
    batch = loose(data.split("test"))
    plain = attacked_error(trained(data, None), batch).mean()
    robust = attacked_error(trained(data, AdversarialTraining()), batch).mean()
    assert robust < 0.9 * plain


def test_lightning_trains_it(tiny, data) -> None:
    """Trainer.fit runs the module as it is and changes the victim's weights."""
    before = tiny.encoder.weight.detach().clone()
    module = AdversarialTraining(steps=2).robustify(tiny, data, Seed(0))
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    pl.Trainer(max_steps=2, accelerator="cpu", **quiet).fit(module, data.train_dataloader())
    assert not torch.equal(tiny.encoder.weight, before)


@pytest.mark.parametrize("rows", [600])
def test_manoeuvres_start_where_the_target_does(rows) -> None:
    """Every drive starts at the given state; some brake to a stop, some bend, some end a lane aside."""
    draw = Seed(3).draws([str(number) for number in range(rows)])
    velocity = torch.tensor([10.0, 0.0]).expand(rows, 2)
    track = manoeuvre(torch.zeros(rows, 2), velocity, torch.full((rows,), 0.5), 21, draw)
    assert track[:, 0].norm(dim=-1).max() < 0.2
    assert (track[:, 1] - torch.tensor([5.0, 0.0])).norm(dim=-1).median() < 0.2
    aside = ((track[:, -1, 1].abs() - LANE_M).abs() < 0.2).float().mean()
    stopped = (track[:, -1, 0] < 60).float().mean()
    straight = (track[:, -1, 1].abs() < 0.2).float().mean()
    assert aside > 0.2
    assert stopped > 0.1
    assert 0.25 < straight < 0.42


def test_only_complete_moving_targets_get_manoeuvres(scenes) -> None:
    """Standing and incomplete targets and all neighbours stay."""
    batch = scenes(60)
    batch.track[:20, 0] = 0.0
    batch.present[20:40, 0, 2] = False
    changed = with_manoeuvres(batch, Seed(0).draws(batch.ids), probability=1.0)
    assert torch.equal(changed.track[:40], batch.track[:40])
    assert torch.equal(changed.track[:, 1:], batch.track[:, 1:])
    assert ((changed.target - batch.target)[40:].abs().amax((1, 2)) > 0).all()
