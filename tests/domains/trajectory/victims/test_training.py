"""Victims under a real Trainer: they learn, and enough to stand in a matrix."""

import logging
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from pytorch_lightning import Trainer

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim, displacement, known_mean
from robeval.domains.trajectory.victims.constant_velocity import ConstantVelocity
from robeval_datasets.trajectory.synthetic import Synthetic

Build = Callable[..., TrajectoryVictim]


@pytest.fixture(scope="module")
def roads() -> Synthetic:
    """The embedded scenes."""
    return Synthetic()


@pytest.fixture(scope="module")
def few_roads() -> Synthetic:
    """A handful of them."""
    return Synthetic(train_scenes=60, val_scenes=3, test_scenes=30)


def fit(victim: TrajectoryVictim, data: Synthetic) -> TrajectoryVictim:
    """Train as the engine does, by the victim's own recipe."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    data.train_batch_size = victim.train_batch_size
    trainer = Trainer(
        accelerator="cpu",
        max_steps=victim.steps,
        max_epochs=-1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trainer.fit(victim.train(), data)
    return victim.eval()


def test_a_short_training_lowers_the_loss(learned: str, build: Build, few_roads: Synthetic) -> None:
    """Sixty steps lower every learned victim's training loss, and all weights stay finite."""
    victim = build(learned, steps=60, train_batch_size=32)
    scenes = few_roads.split("train")
    assert isinstance(scenes, SceneBatch)
    before = victim.loss(scenes).mean().item()
    fit(victim, few_roads)
    after = victim.loss(scenes).mean().item()
    assert after < before - 0.05 * abs(before), (before, after)
    assert all(parameter.isfinite().all() for parameter in victim.parameters())


def test_every_weight_is_trained(
    learned: str, build: Build, few_roads: Synthetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss has a slope by every weight: none is dead or left out."""
    monkeypatch.setattr("robeval.domains.trajectory.victims.trajectron.FREE_NATS", 0.0)
    victim = build(learned)
    scenes = few_roads.split("train")
    victim.loss(scenes).mean().backward()
    flat = [name for name, p in victim.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert flat == []


def test_the_recipe_is_an_option(learned: str, build: Build) -> None:
    """Steps, batch size and step size are what was asked for, and steer the optimiser."""
    victim = build(learned, steps=7, train_batch_size=5, learning_rate=0.25)
    assert (victim.steps, victim.train_batch_size, victim.learning_rate) == (7, 5, 0.25)
    assert victim.configure_optimizers()["optimizer"].param_groups[0]["lr"] == 0.25


def ade_m(victim: TrajectoryVictim, scenes: SceneBatch) -> torch.Tensor:
    """Mean Euclidean error per scene, metres."""
    with torch.no_grad():
        return known_mean(displacement(victim(scenes).most_likely(), scenes), scenes)


def gains(victim: TrajectoryVictim, scenes: SceneBatch) -> Sequence[float]:
    """The share of constant velocity's error that is left, over all scenes and per speed regime."""
    mine, theirs = ade_m(victim, scenes), ade_m(ConstantVelocity(), scenes)
    groups = [torch.ones(len(scenes), dtype=torch.bool)]
    groups += [torch.tensor([r == name for r in scenes.regime]) for name in sorted(set(scenes.regime))]
    shares = [float(mine[group].mean() / theirs[group].mean()) for group in groups]
    assert all(map(math.isfinite, shares))
    return shares


@pytest.mark.slow
def test_a_trained_victim_beats_constant_velocity_by_a_fifth(
    learned: str, build: Build, roads: Synthetic
) -> None:
    """On held-out scenes the default recipe leaves at most 80 % of constant velocity's ADE, and no regime is worse."""
    victim = fit(build(learned), roads)
    test = roads.split("test")
    assert isinstance(test, SceneBatch)
    overall, *regimes = gains(victim, test)
    assert overall <= 0.8
    assert max(regimes) < 1
