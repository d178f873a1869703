"""The option `bounds`."""

import pytest
import torch

from robeval.domains.trajectory.kinematics import PUBLISHED_LIMITS
from robeval.errors import OptionError
from robeval_datasets.trajectory.limits import resolve
from robeval_datasets.trajectory.synthetic import Synthetic


def never():
    """Fails if the training split is asked for without need."""
    raise AssertionError("the training split is not needed here")


def test_repo_means_the_published_constants_at_their_own_rate() -> None:
    """At 0.5 s nuScenes' per-frame constants apply unchanged."""
    assert resolve("repo", 0.5, "nuscenes", never) == PUBLISHED_LIMITS["nuscenes"]


def test_repo_refuses_another_frame_rate() -> None:
    """Per-frame constants mean something else at 0.2 s, so they are refused with both rates named."""
    with pytest.raises(OptionError, match=r"per frame of 0\.5 s, this dataset has 0\.2 s"):
        resolve("repo", 0.2, "nuscenes", never)


def test_repo_refuses_a_set_without_constants() -> None:
    """ETH/UCY has none."""
    with pytest.raises(OptionError, match="no constants were published"):
        resolve("repo", 0.4, None, never)


def test_si_bounds_become_per_frame() -> None:
    """m/s, m/s² and m/s³ are multiplied by dt, dt² and dt³."""
    assert resolve("si:10,4,2,8,16", 0.5, None, never) == (5.0, 1.0, 0.5, 1.0, 2.0)


@pytest.mark.parametrize("text", ["si:1,2,3", "si:a,b,c,d,e", "si:1,2,3,4,-5", "si:1,2,3,4,inf", "loose", ""])
def test_malformed_bounds_are_refused_with_the_value(text: str) -> None:
    """The message repeats what was given and what is expected."""
    with pytest.raises(OptionError, match=r"si:V,AL,AT,JL,JT"):
        resolve(text, 0.5, None, never)


def test_dataset_bounds_come_from_the_training_split_and_hold_in_every_split() -> None:
    """Val and test carry the bounds of train, which most of train's own frames respect."""
    world = Synthetic(train_scenes=12, val_scenes=3, test_scenes=3)
    train, test = world.split("train"), world.split("test")
    assert torch.equal(train.limits[0], test.limits[-1])
    assert torch.isfinite(test.limits).all()
    speed = train.target.diff(dim=1).norm(dim=-1)
    assert (speed <= train.limits[:, :1]).float().mean() > 0.95
