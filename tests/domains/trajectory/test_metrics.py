"""Distances to the truth, by hand, by symmetry and by the nuScenes devkit."""

import math

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory import metrics
from robeval.domains.trajectory.objectives import yardstick

TRUTH = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
ALL = torch.ones(4, dtype=torch.bool)


def off_by(*distances: float) -> Tensor:
    """The truth, displaced sideways by a distance at every step."""
    return TRUTH + torch.tensor([[0.0, distance] for distance in distances])


def test_ade_is_the_mean_euclidean_distance() -> None:
    """A path that is 3 m east and 4 m north of the truth has an ADE of 5 m, not of 25 m²."""
    assert float(metrics.ade(TRUTH + torch.tensor([3.0, 4.0]), TRUTH, ALL)) == pytest.approx(5.0)


def test_ade_leaves_unknown_steps_out() -> None:
    """Only the known steps enter the mean, whatever stands in the others."""
    known = torch.tensor([True, True, False, False])
    truth = TRUTH.clone()
    truth[2:] = 999.0
    assert float(metrics.ade(off_by(1, 3, 8, 8), truth, known)) == pytest.approx(2.0)


def test_errors_are_nan_where_nothing_is_known() -> None:
    """A target that is gone has no error: neither a distance, nor a miss."""
    nothing = torch.zeros(4, dtype=torch.bool)
    values = [f(off_by(1, 1, 1, 1), TRUTH, nothing) for f in (metrics.ade, metrics.fde, metrics.missed)]
    assert all(math.isnan(float(value)) for value in values)


def test_fde_is_the_last_distance() -> None:
    """The FDE is the distance at the last step."""
    assert float(metrics.fde(off_by(0, 0, 0, 7), TRUTH, ALL)) == pytest.approx(7.0)


def test_fde_needs_the_last_step() -> None:
    """Without the last step of the truth there is no FDE, while there is an ADE."""
    known = torch.tensor([True, True, True, False])
    assert math.isnan(float(metrics.fde(off_by(1, 1, 1, 7), TRUTH, known)))
    assert float(metrics.ade(off_by(1, 1, 1, 7), TRUTH, known)) == pytest.approx(1.0)


@pytest.mark.parametrize(("farthest", "expected"), [(1.999, 0.0), (2.0, 1.0), (5.0, 1.0), (math.nan, 1.0)])
def test_a_miss_is_two_metres_at_any_step(farthest: float, expected: float) -> None:
    """A path misses from 2 m on, at any step; a path of NaN has missed."""
    assert float(metrics.missed(off_by(0, farthest, 0, 0), TRUTH, ALL)) == expected


def test_a_miss_at_an_unknown_step_does_not_count() -> None:
    """Where the truth is unknown nothing can be missed."""
    known = torch.tensor([True, False, True, True])
    assert float(metrics.missed(off_by(0, 50, 0, 0), TRUTH, known)) == 0.0


def test_the_best_of_the_likeliest_modes_counts() -> None:
    """With k = 2 the third mode, however close, does not help; with k = 3 it does."""
    paths = torch.stack([off_by(4, 4, 4, 4), off_by(2, 2, 2, 6), off_by(0, 0, 0, 1)])
    probability = torch.tensor([0.5, 0.3, 0.2])
    assert float(metrics.min_ade(paths, probability, TRUTH, ALL, k=2)) == pytest.approx(3.0)
    assert float(metrics.min_fde(paths, probability, TRUTH, ALL, k=2)) == pytest.approx(4.0)
    assert float(metrics.min_ade(paths, probability, TRUTH, ALL, k=3)) == pytest.approx(0.25)
    assert float(metrics.min_fde(paths, probability, TRUTH, ALL, k=3)) == pytest.approx(1.0)


def test_more_modes_than_there_are_is_all_modes() -> None:
    """Asking for the best of ten among three looks at three."""
    paths = torch.stack([off_by(4, 4, 4, 4), off_by(2, 2, 2, 2), off_by(1, 1, 1, 1)])
    probability = torch.tensor([0.5, 0.3, 0.2])
    assert float(metrics.min_ade(paths, probability, TRUTH, ALL, k=10)) == pytest.approx(1.0)


def test_modes_agree_with_the_nuscenes_devkit() -> None:
    """MinADEK, MinFDEK and MissRateTopK of the devkit give the same figures on random predictions."""
    devkit = pytest.importorskip(
        "nuscenes.eval.prediction.metrics", reason="nuscenes-devkit is not installed"
    )
    generator = torch.Generator().manual_seed(0)
    paths = torch.randn(5, 12, 2, generator=generator, dtype=torch.float64).cumsum(dim=1)
    truth = torch.randn(12, 2, generator=generator, dtype=torch.float64).cumsum(dim=0)
    probability = torch.rand(5, generator=generator, dtype=torch.float64)
    known = torch.ones(12, dtype=torch.bool)
    stacked = truth.expand(5, 12, 2).numpy()
    modes = probability.numpy()
    means = devkit.mean_distances(paths.numpy(), stacked)
    finals = devkit.final_distances(paths.numpy(), stacked)
    for k in (1, 3, 5):
        theirs = devkit.rank_metric_over_top_k_modes(means, modes, "min")[0, k - 1]
        assert float(metrics.min_ade(paths, probability, truth, known, k)) == pytest.approx(theirs, abs=1e-9)
        theirs = devkit.rank_metric_over_top_k_modes(finals, modes, "min")[0, k - 1]
        assert float(metrics.min_fde(paths, probability, truth, known, k)) == pytest.approx(theirs, abs=1e-9)
    likeliest = paths[probability.argmax()]
    for tolerance in (1.0, 2.0, 4.0, 8.0):
        theirs = devkit.miss_rate_top_k(paths.numpy(), stacked, modes, tolerance)[0, 0]
        assert float(metrics.missed(likeliest, truth, known, tolerance)) == float(theirs)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        ((0.0, 3.0), [3.0, -3.0, 0.0, 0.0]),
        ((0.0, -3.0), [-3.0, 3.0, 0.0, 0.0]),
        ((2.0, 0.0), [0.0, 0.0, 2.0, -2.0]),
        ((-2.0, 0.0), [0.0, 0.0, -2.0, 2.0]),
    ],
)
def test_directions_are_those_of_the_driver(straight_scene, predict, shift, expected) -> None:
    """Towards east, north is left, south is right, east is ahead and west is behind."""
    path = predict(straight_scene, shift).most_likely()
    values = metrics.directional(path, yardstick(straight_scene))
    torch.testing.assert_close(values, torch.tensor([expected]), atol=1e-5, rtol=0)


def test_a_mirrored_scene_swaps_left_and_right(turning_scenes) -> None:
    """In a mirror left is right, and ahead stays ahead."""
    shift = torch.tensor([0.7, -1.3])
    flip = torch.tensor([1.0, -1.0])
    mirrored = turning_scenes.replace(track=turning_scenes.track * flip, heading=-turning_scenes.heading)
    here = metrics.directional(turning_scenes.future() + shift, yardstick(turning_scenes))
    there = metrics.directional(mirrored.future() + shift * flip, yardstick(mirrored))
    torch.testing.assert_close(there, here[:, [1, 0, 2, 3]], atol=1e-4, rtol=0)


def test_a_turned_scene_has_the_same_errors(turning_scenes) -> None:
    """Distances and directions do not depend on where north is."""
    angle = torch.tensor(0.9)
    turn = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    turned = turning_scenes.replace(track=turning_scenes.track @ turn, heading=turning_scenes.heading + angle)
    path = turning_scenes.future() + torch.tensor([0.7, -1.3])
    here, there = yardstick(turning_scenes), yardstick(turned)
    same = metrics.directional(path, here), metrics.directional(path @ turn, there)
    torch.testing.assert_close(*same, atol=1e-4, rtol=0)
    same = metrics.ade(path, here.truth, here.known), metrics.ade(path @ turn, there.truth, there.known)
    torch.testing.assert_close(*same, atol=1e-4, rtol=0)


def test_directions_need_a_direction(straight_track, scene_of) -> None:
    """A target that stands, of unknown heading, has neither left nor right."""
    scenes = scene_of(straight_track(0.0))
    scenes = scenes.replace(heading=torch.full_like(scenes.heading, math.nan))
    assert metrics.directional(scenes.future() + 1.0, yardstick(scenes)).isnan().all()


@pytest.mark.parametrize(
    ("clean", "adversarial", "expected"),
    [
        (0.5, 1.49, 0.0),
        (0.5, 1.5, 1.0),
        (4.0, 5.9, 0.0),
        (4.0, 6.0, 1.0),
        (4.0, 1.0, 0.0),
        (1.0, math.nan, 1.0),
        (math.nan, math.nan, 0.0),
    ],
)
def test_success_needs_a_metre_and_half_of_the_clean_error(clean, adversarial, expected) -> None:
    """Success takes the larger of 1 m and half of the clean ADE; breaking the victim down is one, too."""
    value = metrics.succeeded(torch.tensor([adversarial]), torch.tensor([clean]))
    assert float(value) == expected


def test_directional_success_is_half_a_lane_of_gain() -> None:
    """What counts is what the attack added in any direction, not where the clean path lay."""
    clean = torch.tensor([[1.0, -1.0, 0.0, 0.0]]).expand(4, 4)
    moved = torch.tensor(
        [[2.0, -2.0, 0.0, 0.0], [2.9, -2.9, 0.0, 0.0], [1.0, -1.0, -1.85, 1.85], [math.nan] * 4]
    )
    value = metrics.directional_success(moved, clean)
    assert value[:3].tolist() == [0.0, 1.0, 1.0]
    assert value[3].isnan()


def test_stationary_targets_cover_less_than_a_metre(straight_track, scene_of) -> None:
    """Over the 2 s that end with the first unwatched frame, 0.4 m/s stands and 0.6 m/s moves."""
    tracks = torch.cat([straight_track(0.4), straight_track(0.6)])
    assert metrics.stationary(scene_of(tracks)).tolist() == [True, False]


def test_absent_frames_do_not_make_a_target_move(straight_track, scene_of) -> None:
    """A jump to the position that stands for absence is no way covered."""
    scenes = scene_of(straight_track(0.1) + 100.0)
    track, present = scenes.track.clone(), scenes.present.clone()
    track[:, 0, 1] = 0.0
    present[:, 0, 1] = False
    assert metrics.stationary(scenes.replace(track=track, present=present)).tolist() == [True]


def test_off_road_is_two_metres_from_every_lane() -> None:
    """Between two lanes is on the road, beyond the outer one is off it, and NaN lanes are no lanes."""
    x = torch.tensor([-10.0, 0.0, 10.0])
    lanes = torch.stack([torch.stack([x, torch.full((3,), y)], dim=-1) for y in (0.0, 3.7, math.nan)])
    path = torch.zeros(1, 3, 2, 2)
    path[0, :, :, 1] = torch.tensor([[0.0, 1.85], [3.7, 5.6], [0.0, 5.8]])
    assert metrics.off_road(path[:, :2], lanes[None]).tolist() == [0.0]
    assert float(metrics.off_road(path, lanes[None])) == pytest.approx(1 / 3)
    past_the_end = torch.tensor([12.1, 0.0]).view(1, 1, 1, 2)
    assert metrics.off_road(past_the_end, lanes[None]).tolist() == [1.0]


def test_off_road_means_nothing_without_lanes() -> None:
    """Scenes without a map have no off-road rate, whether lanes are absent or padding."""
    path = torch.zeros(2, 1, 3, 2)
    assert metrics.off_road(path, torch.zeros(2, 0, 0, 2)).isnan().all()
    lanes = torch.zeros(2, 1, 4, 2)
    lanes[1] = math.nan
    assert metrics.off_road(path, lanes).isnan().tolist() == [False, True]
