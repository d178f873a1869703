"""Training defenses change histories, never labels, and keep to what can be driven."""

import pytest
import torch

from robeval.domains.trajectory.kinematics import excess
from robeval.errors import PluginError
from robeval.plugins.victim import Victim
from robeval.seeding import Seed
from robeval_defenses.trajectory.adversarial_training import AdversarialTraining
from robeval_defenses.trajectory.augmentation import Augmentation
from robeval_defenses.trajectory.filters import mean3
from robeval_defenses.trajectory.smoothing import Smoothed
from robeval_defenses.trajectory.train_randomised_smoothing import TrainRandomisedSmoothing
from robeval_defenses.trajectory.train_smoothing import TrainSmoothing
from robeval_defenses.trajectory.training import random_offset, single_windows

EVERY = [
    Augmentation(),
    TrainSmoothing(),
    TrainSmoothing(augment=True),
    TrainRandomisedSmoothing(),
    AdversarialTraining(),
    AdversarialTraining(augment=True),
]


@pytest.mark.parametrize("defense", EVERY, ids=str)
@pytest.mark.parametrize("windows", [1, 3])
def test_objectives_are_per_example_and_trainable(scenes, tiny, data, defense, windows) -> None:
    """One finite loss per scene, each with a gradient to the weights."""
    module = defense.robustify(tiny, data, Seed(0))
    loss = module.objective(scenes(5, windows=windows))
    assert loss.shape == (5,)
    assert loss.isfinite().all()
    loss.mean().backward()
    assert all(parameter.grad is not None for parameter in tiny.parameters())


@pytest.mark.parametrize("defense", EVERY, ids=str)
def test_a_scene_does_not_depend_on_its_neighbours(scenes, tiny, data, defense) -> None:
    """A scene's loss is the same alone and in a batch, and the same again."""
    module = defense.robustify(tiny, data, Seed(0))
    batch = scenes(6, windows=2)
    whole = module.objective(batch)
    assert torch.allclose(whole[4:5], module.objective(batch.select([4])), atol=1e-4)
    assert torch.equal(whole, module.objective(batch))


@pytest.mark.parametrize("defense", EVERY, ids=str)
def test_training_changes_neither_scenes_nor_mode(scenes, tiny, data, defense) -> None:
    """The batch is not written to and the victim stays in training mode."""
    module = defense.robustify(tiny.train(), data, Seed(0))
    batch = scenes(4)
    before = batch.track.clone()
    module.objective(batch)
    assert torch.equal(batch.track, before)
    assert tiny.training


@pytest.mark.parametrize("defense", EVERY, ids=str)
def test_weights_are_the_victims_own(tiny, data, defense) -> None:
    """Training the module trains the victim: no copies, no further weights."""
    module = defense.robustify(tiny, data, Seed(0))
    assert {id(p) for p in module.parameters()} == {id(p) for p in tiny.parameters()}
    assert len(module.state_dict()) == len(tiny.state_dict())


def test_only_trajectory_victims_are_trained(data) -> None:
    """A victim of another domain is refused by name."""

    class Other(Victim):
        domain = "ranking"

        def forward(self, batch):
            return batch

    with pytest.raises(PluginError, match="Other"):
        Augmentation().robustify(Other(), data, Seed(0))


def test_single_windows_are_what_each_window_sees(scenes) -> None:
    """Histories and futures of the cut scenes equal those of the windows."""
    batch = scenes(3, windows=3)
    rows = single_windows(batch)
    assert len(rows) == 9
    assert torch.equal(rows.observation().past, batch.observation().past)
    assert torch.equal(rows.future()[:, 0], batch.future().flatten(0, 1))
    assert rows.ids == batch.observation().ids
    assert rows.heading.shape == rows.present.shape
    assert rows.ego.shape == (9, 10, 2)


def test_random_offsets_obey_the_bounds(scenes) -> None:
    """Displaced tracks stay within kinematic limits and deviation, and about half of them are displaced."""
    rows = scenes(400)
    offset = random_offset(rows, Seed(0).draws(rows.ids), deviation_m=1.0, probability=0.5)
    moved = rows.moved(offset)
    assert excess(moved.target, rows.target, rows.limits, rows.present[:, 0]).max() <= 1 + 1e-4
    assert offset.norm(dim=-1).max() <= 1.0
    displaced = (offset.flatten(1).abs().sum(1) > 0).float().mean().item()
    assert 0.4 < displaced < 0.6


def test_unseen_frames_are_not_displaced(scenes) -> None:
    """An absent frame keeps its placeholder."""
    rows = scenes(10)
    rows.present[:, 0, 1] = False
    offset = random_offset(rows, Seed(0).draws(rows.ids), deviation_m=1.0)
    assert (offset[:, 1] == 0).all()
    assert (offset[:, 2].abs() > 0).any()


def test_augmentation_with_probability_zero_is_plain_training(scenes, tiny, data) -> None:
    """Nobody is displaced, so the objective is the victim's own loss; with certainty it is another."""
    batch = scenes(8)
    plain = tiny.loss(batch)
    never = Augmentation(probability=0.0).robustify(tiny, data, Seed(0))
    always = Augmentation(probability=1.0).robustify(tiny, data, Seed(0))
    assert torch.allclose(never.objective(batch), plain)
    assert not torch.allclose(always.objective(batch), plain, atol=1e-4)


def test_every_training_step_draws_anew(scenes, tiny, data) -> None:
    """The step number is part of the seed."""

    class Later(type(Augmentation(probability=1.0).robustify(tiny, data, Seed(0)))):
        global_step = 1

    batch = scenes(8)
    now = Augmentation(probability=1.0).robustify(tiny, data, Seed(0))
    later = Later(tiny, Seed(0), probability=1.0)
    assert not torch.allclose(now.objective(batch), later.objective(batch), atol=1e-4)


def test_train_smoothing_smooths_histories_only(scenes, tiny, data) -> None:
    """The loss is that of smoothed histories against the untouched future."""
    batch = scenes(6)
    module = TrainSmoothing().robustify(tiny, data, Seed(0))
    smooth = batch.track.clone()
    smooth[:, :, :4] = mean3(batch.track[:, :, :4], batch.present[:, :, :4])
    assert torch.allclose(module.objective(batch), tiny.loss(batch.replace(track=smooth)))
    hardened = TrainSmoothing().harden(tiny, data, Seed(0))
    assert torch.equal(hardened(batch).paths, Smoothed(tiny)(batch).paths)
