"""What an ego that believes a prediction does: clear roads, stopped targets, cut-ins."""

import math

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.batch import SceneBatch
from robeval.domains.trajectory.planner import (
    EGO_SIZE_M,
    consequence,
    directions,
    drive,
    planning_error,
    rectangle_gap,
)

SPEED_M_S = 8.0
LENGTHS_M = (EGO_SIZE_M[0] + 4.0) / 2
"""Distance between centres, bumper to bumper."""


@pytest.fixture
def following(straight_track, scene_of):
    """Makes scenes in which the ego drives along +x at 8 m/s, `gap_m` bumper to bumper behind the target."""

    def make(target_speed_m_s: float = SPEED_M_S, gap_m: float = 40.0, aside_m: float = 0.0) -> SceneBatch:
        target = straight_track(target_speed_m_s) + torch.tensor([gap_m + LENGTHS_M, aside_m])
        return scene_of(target, ego=straight_track(SPEED_M_S))

    return make


def standing(scenes: SceneBatch, distance_m: float) -> Tensor:
    """A prediction that the target stands `distance_m`, bumper to bumper, before the ego from now on."""
    place = torch.tensor([distance_m + LENGTHS_M, 0.0])
    return place.expand(len(scenes), scenes.windows, scenes.horizon, 2)


def box(x: float, y: float, degrees: float, length: float, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """A rectangle."""
    return torch.tensor([x, y]), torch.tensor(math.radians(degrees)), torch.tensor([length, width])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (box(0, 0, 0, 4, 2), box(7, 0, 0, 4, 2), 3.0),
        (box(0, 0, 0, 4, 2), box(0, 5, 0, 4, 2), 3.0),
        (box(0, 0, 0, 4, 2), box(7, 6, 0, 4, 2), 5.0),
        (box(0, 0, 0, 4, 2), box(3.9, 0, 0, 4, 2), 0.0),
        (box(0, 0, 0, 4, 2), box(0, 5, 90, 4, 2), 2.0),
        (box(0, 0, 0, 10, 1), box(0, 0, 90, 10, 1), 0.0),
        (box(0, 0, 0, 10, 10), box(1, 1, 30, 1, 1), 0.0),
        (box(0, 0, 0, 2, 2), box(3, 0, 45, math.sqrt(2), math.sqrt(2)), 1.0),
    ],
)
def test_gaps_between_rectangles(first, second, expected: float) -> None:
    """Side by side, corner to corner, turned, crossed like a plus, one inside the other; either way round."""
    assert float(rectangle_gap(first, second)) == pytest.approx(expected, abs=1e-5)
    assert float(rectangle_gap(second, first)) == pytest.approx(expected, abs=1e-5)


def test_gaps_do_not_depend_on_north() -> None:
    """Turning both rectangles about the origin changes nothing."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(2, 50, 2, generator=generator) * 5
    heading = torch.rand(2, 50, generator=generator) * 6
    size = torch.rand(2, 50, 2, generator=generator) * 4
    angle = torch.tensor(1.1)
    turn = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    here = rectangle_gap(*((centre[i], heading[i], size[i]) for i in (0, 1)))
    there = rectangle_gap(*((centre[i] @ turn, heading[i] + angle, size[i]) for i in (0, 1)))
    assert 0 < int((here == 0).sum()) < 50
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_an_unknown_rectangle_has_an_unknown_gap() -> None:
    """NaN is no collision."""
    assert rectangle_gap(box(math.nan, 0, 0, 4, 2), box(0, 0, 0, 4, 2)).isnan()


def test_directions_are_kept_while_standing() -> None:
    """A track that goes north, stands, and goes east faces north until it moves again."""
    track = torch.tensor([[[0, 0], [0, 1], [0, 1.01], [0, 1.01], [1, 1.01]]])
    north = math.pi / 2
    assert directions(track, torch.tensor([math.nan]))[0].tolist() == pytest.approx([north] * 4 + [0.0])


def test_directions_fall_back() -> None:
    """Before the first step stands the fallback, else the first step to come, else nothing."""
    late = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.0, -1.0]]])
    assert directions(late, torch.tensor([2.0]))[0].tolist() == pytest.approx([2.0, 2.0, -math.pi / 2])
    assert directions(late, torch.tensor([math.nan]))[0].tolist() == pytest.approx([-math.pi / 2] * 3)
    assert directions(torch.zeros(1, 3, 2), torch.tensor([math.nan])).isnan().all()


def test_a_clear_road_needs_no_brake(following) -> None:
    """Behind a target that keeps 40 m ahead at the same speed the ego speeds up gently and keeps clear."""
    scenes = following()
    result = consequence(scenes, scenes.future(), scenes.future())
    assert drive(scenes, scenes.future()).acceleration.tolist() == [[1.0]]
    assert float(result.hard_brake) == 0.0
    assert float(result.spurious_brake) == 0.0
    assert float(result.collision) == 0.0
    assert float(result.progress_loss) == 0.0
    assert float(result.min_gap) == pytest.approx(40.0 - 0.5 * 1.0 * 4.0**2, abs=1e-3)


def test_a_target_predicted_to_stand_ahead_makes_the_ego_brake_hard(following) -> None:
    """From 8 m/s with 9 m of road, -4 m/s² stops in 8 m and keeps half a metre; nothing milder does."""
    scenes = following()
    wrong = standing(scenes, 9.0)
    result = consequence(scenes, scenes.future(), wrong)
    assert drive(scenes, wrong).acceleration.tolist() == [[-4.0]]
    assert float(result.hard_brake) == 1.0
    assert float(result.spurious_brake) == 1.0
    assert float(result.collision) == 0.0
    assert float(drive(scenes, wrong).progress) == pytest.approx(8.0)
    assert float(result.progress_loss) == pytest.approx(8.0 * 4 + 8.0 - 8.0)


@pytest.mark.parametrize(
    ("distance_m", "expected"), [(33.5, -1.0), (17.0, -2.0), (11.5, -3.0), (8.4, -6.0), (4.6, -8.0)]
)
def test_the_mildest_sufficient_deceleration_is_taken(following, distance_m, expected) -> None:
    """Stopping from 8 m/s takes 32/a metres within the 4 s looked at, and half a metre is kept."""
    scenes = following()
    if expected == -1.0:
        distance_m = 8.0 * 4 - 0.5 * 16 + 0.6
    assert drive(scenes, standing(scenes, distance_m)).acceleration.tolist() == [[expected]]


def test_braking_that_the_clean_prediction_asks_for_is_not_spurious(following) -> None:
    """An ego that brakes hard either way does not brake because of the attack."""
    scenes = following()
    result = consequence(scenes, standing(scenes, 9.0), standing(scenes, 6.0))
    assert float(result.hard_brake) == 1.0
    assert float(result.spurious_brake) == 0.0


def test_without_a_safe_option_the_ego_brakes_fully(following) -> None:
    """A target predicted inside the ego leaves only full braking."""
    scenes = following()
    assert drive(scenes, standing(scenes, -1.0)).acceleration.tolist() == [[-8.0]]


def test_believing_in_a_clear_road_ends_in_a_collision(following) -> None:
    """A target that really stands 10 m ahead, predicted to drive on, is run into."""
    scenes = following(target_speed_m_s=0.0, gap_m=10.0)
    away = scenes.future() + torch.tensor([200.0, 0.0])
    honest, fooled = (consequence(scenes, scenes.future(), path) for path in (scenes.future(), away))
    assert float(honest.collision) == 0.0
    assert float(honest.min_gap) >= 0.5
    assert float(fooled.collision) == 1.0
    assert float(fooled.min_gap) == 0.0
    assert float(fooled.progress_loss) < 0


def test_a_cut_in_from_the_next_lane_makes_the_ego_brake(following) -> None:
    """A target alongside in the next lane is no reason to brake until it is predicted in the ego's lane."""
    scenes = following(target_speed_m_s=3.0, gap_m=4.0, aside_m=3.7)
    result = consequence(scenes, scenes.future(), scenes.future() - torch.tensor([0.0, 3.7]))
    assert float(result.spurious_brake) == 1.0
    assert float(result.collision) == 0.0


def test_the_ego_decides_anew_at_every_window(straight_track, scene_of) -> None:
    """A scare in the first of three windows costs one step of braking and no more."""
    frames = 18
    target = straight_track(SPEED_M_S, frames) + torch.tensor([40.0 + LENGTHS_M, 0.0])
    scenes = scene_of(target, ego=straight_track(SPEED_M_S, frames), windows=3)
    path = scenes.future().clone()
    path[:, 0] = standing(scenes, 9.0)[:, 0]
    result = drive(scenes, path)
    assert result.acceleration.tolist() == [[-4.0, 1.0, 1.0]]
    braking = 8.0 * 0.5 - 2.0 * 0.5**2
    assert float(result.progress) == pytest.approx(braking + 6.0 * 4.5 + 0.5 * 4.5**2)
    assert float(consequence(scenes, scenes.future(), path).hard_brake) == 1.0


def test_only_four_seconds_count(following) -> None:
    """What is predicted beyond 4 s is no reason to brake."""
    scenes = following()
    path = scenes.future().clone()
    path[:, :, 8:] = standing(scenes, 0.0)[:, :, 8:]
    assert drive(scenes, path).acceleration.tolist() == [[1.0]]


def test_a_planner_needs_an_ego(straight_scene, following) -> None:
    """Without an ego, with an ego that never moves, or with a prediction of NaN there is nothing to say."""
    scenes = following()
    parked = scenes.replace(ego=torch.zeros_like(scenes.ego))
    cases = [(straight_scene, straight_scene.future()), (parked, parked.future())]
    cases.append((scenes, scenes.future() * math.nan))
    for batch, path in cases:
        assert all(value.isnan().all() for value in consequence(batch, batch.future(), path))
    one_frame = straight_scene.replace(history=1, windows=4)
    assert consequence(one_frame, one_frame.future(), one_frame.future()).hard_brake.isnan().all()


def test_an_unknown_truth_is_no_collision(following) -> None:
    """Frames in which the target was not seen do not count; with none seen there is no gap at all."""
    scenes = following()
    present, track = scenes.present.clone(), scenes.track.clone()
    present[:, 0, 6:] = False
    track[:, 0, 6:] = 0.0
    gone = scenes.replace(present=present, track=track)
    result = consequence(gone, scenes.future(), scenes.future())
    assert float(result.collision) == 0.0
    assert float(result.min_gap) == pytest.approx(39.5, abs=0.1)
    present[:, 0, 4:] = False
    result = consequence(scenes.replace(present=present), scenes.future(), scenes.future())
    assert result.min_gap.isnan()
    assert result.collision.isnan()


def test_an_unseen_heading_is_a_square(straight_track, scene_of) -> None:
    """The ego passes a standing target that points its way, and stops for one of unknown heading."""
    target = torch.tensor([10.0, 2.5]).expand(1, 16, 2)
    scenes = scene_of(target, ego=straight_track(SPEED_M_S))
    blind = scenes.replace(heading=torch.full_like(scenes.heading, math.nan))
    assert float(drive(scenes, scenes.future()).gap) == pytest.approx(2.5 - 1.0 - EGO_SIZE_M[1] / 2)
    assert drive(scenes, scenes.future()).acceleration.tolist() == [[1.0]]
    assert drive(blind, scenes.future()).acceleration.tolist() == [[-6.0]]


def test_the_ego_follows_its_path_round_a_corner(straight_track, scene_of) -> None:
    """A target that stands straight on behind the corner is no reason to brake, one round the corner is."""
    east = straight_track(SPEED_M_S)[0, :, 0]
    ego = torch.stack([east.clamp(max=16.0), (east - 16.0).clamp(min=0.0)], dim=-1).unsqueeze(0)
    places = torch.tensor([[21.5, 0.0], [16.0, 14.0]])
    scenes = scene_of(places.unsqueeze(1).expand(2, 16, 2), ego=ego.expand(2, 16, 2))
    scenes = scenes.replace(heading=torch.full_like(scenes.heading, math.pi / 2))
    result = drive(scenes, scenes.future())
    assert result.acceleration[0].tolist() == [1.0]
    assert float(result.acceleration[1]) < 0.0
    assert float(result.gap[1]) >= 0.5


def test_a_gap_in_the_truth_turns_nobody(straight_track, scene_of) -> None:
    """What stands in an absent frame does not bend the true motion beside it."""
    target = straight_track(SPEED_M_S) + torch.tensor([0.0, 3.0])
    scenes = scene_of(target, ego=straight_track(SPEED_M_S))
    present, track = scenes.present.clone(), scenes.track.clone()
    present[:, 0, 6] = False
    gap = drive(scenes.replace(present=present), scenes.future()).gap
    assert float(gap) == pytest.approx(3.0 - 1.0 - EGO_SIZE_M[1] / 2, abs=1e-5)
    track[:, 0, 6] = 0.0
    torch.testing.assert_close(drive(scenes.replace(present=present, track=track), scenes.future()).gap, gap)


def test_scenes_do_not_depend_on_their_neighbours(following) -> None:
    """Driving two scenes at once gives what each gives alone."""
    first, second = following(), following(target_speed_m_s=4.0, gap_m=6.0, aside_m=3.7)
    both = SceneBatch.join([first, second])
    path = torch.cat([standing(first, 9.0), second.future()])
    together = consequence(both, both.future(), path)
    alone = [consequence(s, s.future(), p) for s, p in ((first, path[:1]), (second, path[1:]))]
    for name, value in together._asdict().items():
        torch.testing.assert_close(value, torch.cat([getattr(one, name) for one in alone]))


def test_planning_error_is_the_part_across_the_egos_path(following) -> None:
    """Of an error of 3 m along and 4 m across the ego's path 4 m count; far from the path nothing does."""
    near, far = following(aside_m=3.7), following(aside_m=15.1)
    shift = torch.tensor([3.0, 4.0])
    assert float(planning_error(near, near.future() + shift)) == pytest.approx(4.0, abs=1e-4)
    assert planning_error(far, far.future() + shift).isnan().all()


def test_planning_error_needs_the_truth(following) -> None:
    """Steps at which the target was not seen do not count."""
    scenes = following(aside_m=3.7)
    present, track = scenes.present.clone(), scenes.track.clone()
    present[:, 0, 10:] = False
    track[:, 0, 10:] = 0.0
    gone = scenes.replace(present=present, track=track)
    assert float(planning_error(gone, scenes.future() + 2.0)) == pytest.approx(2.0, abs=1e-4)


def test_planning_error_needs_an_ego(straight_scene) -> None:
    """Without an ego there is no path to err across."""
    assert planning_error(straight_scene, straight_scene.future()).isnan().all()
