"""The six objectives by hand, and the weights that make a batch of them cheap."""

from collections.abc import Callable

import pytest
import torch

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.objectives import OBJECTIVES, goals, objective_values, pursuable, yardstick

SceneOf = Callable[..., SceneBatch]


def test_values_of_a_prediction_beside_the_road(straight_scene: SceneBatch) -> None:
    """Along +x, an error of (2, 3) m at every step: 13 m² twice, 3 m left, 2 m to the front."""
    path = straight_scene.future() + torch.tensor([2.0, 3.0])
    (values,) = objective_values(path, yardstick(straight_scene)).tolist()
    assert dict(zip(OBJECTIVES, values, strict=True)) == pytest.approx(
        {"ade": 13, "fde": 13, "left": 3, "right": -3, "front": 2, "rear": -2}
    )


def test_only_the_last_step_counts_for_fde(straight_scene: SceneBatch) -> None:
    """An error of 4 m in the last of 12 steps is 16 m² of fde and a twelfth of that of ade."""
    path = straight_scene.future().clone()
    path[0, 0, -1, 1] += 4
    values = objective_values(path, yardstick(straight_scene))[0]
    assert values[:2].tolist() == pytest.approx([16 / 12, 16])


def test_left_follows_the_road(scene_of: SceneOf, straight_track: Callable) -> None:
    """For a target that drives along -y, an error towards +x is to its left."""
    track = straight_track(5.0).flip(-1) * -1
    scene = scene_of(track)
    values = objective_values(scene.future() + torch.tensor([1.0, 0.0]), yardstick(scene))[0]
    assert values[OBJECTIVES.index("left")].item() == pytest.approx(1)


def test_the_first_step_is_measured_from_the_clean_position(straight_scene: SceneBatch) -> None:
    """The yardstick is made once from clean scenes; its first direction is that of the clean track."""
    assert yardstick(straight_scene).along[0, 0, 0].tolist() == [1, 0]
    turned = straight_scene.moved(torch.full((1, 4, 2), 1.0))
    assert yardstick(turned).along[0, 0, 0].tolist() != [1, 0]


def test_a_standing_step_keeps_the_last_direction(scene_of: SceneOf, straight_track: Callable) -> None:
    """A target that stops in its future is still measured along the way it came."""
    track = straight_track(5.0).clone()
    track[0, 8:] = track[0, 8]
    against = yardstick(scene_of(track))
    assert against.directed.all()
    assert (against.along == torch.tensor([1.0, 0.0])).all()


def test_a_standing_target_is_measured_along_its_heading(scene_of: SceneOf) -> None:
    """Without a step, the heading gives the direction; without either no direction can be pursued."""
    standing = scene_of(torch.zeros(2, 16, 2))
    heading = standing.heading.clone()
    heading[0, 0], heading[1, 0] = torch.pi / 2, float("nan")
    standing = standing.replace(heading=heading)
    against = yardstick(standing)
    assert torch.allclose(against.along[0], torch.tensor([0.0, 1.0]), atol=1e-6)
    assert pursuable(against).tolist() == [[True] * 6, [True, True, False, False, False, False]]
    values = objective_values(standing.future() + 1, against)
    assert values[1, 2:].tolist() == [0, 0, 0, 0]


def test_unknown_steps_are_left_out(straight_scene: SceneBatch) -> None:
    """A target that leaves after three future frames is judged on those; its fde does not exist."""
    present = straight_scene.present.clone()
    present[0, 0, 7:] = False
    scene = straight_scene.replace(present=present)
    path = scene.future().clone()
    path[0, 0, :3, 1] += torch.tensor([1.0, 2.0, 3.0])
    path[0, 0, 3:, 1] = 1e6
    values = objective_values(path, yardstick(scene))[0]
    assert values[[0, 1, 2]].tolist() == pytest.approx([14 / 3, 0, 2])
    assert pursuable(yardstick(scene))[0].tolist() == [True, False, True, True, True, True]


def test_goals_are_the_same_six_values(turning_scenes: SceneBatch) -> None:
    """Goals for any choice of objectives, windows averaged, equal the table of all six."""
    scenes = turning_scenes
    present = scenes.present.clone()
    present[1, 0, -1] = present[2, 0, 8:] = False
    against = yardstick(scenes.replace(present=present))
    draw = torch.Generator().manual_seed(0)
    path = scenes.future() + torch.randn(scenes.future().shape, generator=draw)
    table = objective_values(path, against)
    every = goals(against, OBJECTIVES).value(path.repeat_interleave(6, 0)).view(-1, 6)
    assert torch.allclose(every, table, rtol=1e-4, atol=1e-4)
    left = goals(against, ("left",))
    assert torch.allclose(left.value(path), table[:, 2], rtol=1e-4, atol=1e-4)
    assert torch.allclose(left.repeat(2).select(torch.tensor([3])).value(path[1:2]), table[1:2, 2], atol=1e-4)


def test_windows_are_averaged(turning_scenes: SceneBatch) -> None:
    """An error of 1 m in one of two windows is half a square metre."""
    path = turning_scenes.future().clone()
    path[:, 1, :, 0] += 1
    assert objective_values(path, yardstick(turning_scenes))[:, 0].tolist() == pytest.approx([0.5] * 6)
