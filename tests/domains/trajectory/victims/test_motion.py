"""Steps, frames and neighbours by hand."""

import torch

from robeval.domains.trajectory.batch import SMALL_VEHICLE, Observation
from robeval.domains.trajectory.victims.motion import (
    directions,
    latest,
    nearest,
    steps_of,
    strongest,
    target_frame,
)


def observed(*agents: list[tuple[float, float]]) -> Observation:
    """Agents seen in every frame."""
    past = torch.tensor([[list(agent) for agent in agents]])
    kind = torch.full(past.shape[:2], SMALL_VEHICLE, dtype=torch.int8)
    return Observation(
        ("one",), past, torch.ones(past.shape[:3], dtype=torch.bool), kind, torch.tensor([1.0]), 2
    )


def test_a_step_across_a_gap_is_unknown_and_zero() -> None:
    """Only steps whose two ends were seen count; what is stored in absent frames is not read."""
    past = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0], [5.0, 2.0], [6.0, 4.0]])
    moved, known = steps_of(past, torch.tensor([True, True, False, True, True]))
    assert known.tolist() == [True, False, False, True]
    assert moved.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0]]


def test_the_latest_value_is_the_last_known_one_or_zero() -> None:
    """Values of unknown frames are not read, also where no frame is known."""
    values = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]]]).repeat(2, 1, 1)
    known = torch.tensor([[True, True, False], [False, False, False]])
    assert latest(values, known).tolist() == [[2.0, 2.0], [0.0, 0.0]]


def test_a_target_that_was_lost_keeps_the_neighbours_of_where_it_was_seen() -> None:
    """Nearness is measured from the target's last known place, not from the zeros of an absent frame."""
    seen = observed([(100.0, 0.0), (0.0, 0.0)], [(101.0, 0.0)] * 2, [(1.0, 0.0)] * 2)
    present = seen.present.clone()
    present[0, 0, 1] = False
    assert nearest(seen.replace(present=present), 1, 50.0).past[0, 1, -1].tolist() == [101.0, 0.0]


def test_the_targets_frame_looks_along_its_travel() -> None:
    """Ahead is the first axis, left the second, and turning back undoes turning for a moving target."""
    seen = observed([(0.0, -30.0), (0.0, -15.0), (0.0, 0.0)])
    frame = target_frame(seen, steps_of(seen.past, seen.present))
    left_and_ahead = torch.tensor([[[-2.0, 5.0]]])
    turned = frame.turned(left_and_ahead)
    torch.testing.assert_close(turned, torch.tensor([[[5.0, 2.0]]]), rtol=1e-4, atol=0)
    torch.testing.assert_close(frame.turned_back(turned), left_and_ahead, rtol=1e-4, atol=0)


def test_directions_fade_out_for_short_vectors() -> None:
    """A direction has length 1 far from zero and 0 at zero, where its slope is 1 / STANDING_M and not infinite."""
    vectors = torch.tensor([[30.0, 40.0], [0.0, 0.0]], requires_grad=True)
    result = directions(vectors)
    torch.testing.assert_close(result, torch.tensor([[0.6, 0.8], [0.0, 0.0]]), rtol=1e-4, atol=1e-6)
    (slope,) = torch.autograd.grad(result[1, 0], vectors)
    torch.testing.assert_close(slope[1], torch.tensor([10.0, 0.0]))


def test_nearest_keeps_the_closest_that_are_in_reach_and_seen_now() -> None:
    """Far agents are marked absent, of the others the nearest stay, the target always first."""
    still = [[(x, 0.0)] * 2 for x in (0.0, 60.0, 30.0, 10.0, 20.0)]
    seen = observed(*still)
    kept = nearest(seen, 2, 50.0)
    assert kept.past[0, :, -1, 0].tolist() == [0.0, 10.0, 20.0]
    assert kept.present.all()
    everyone = nearest(seen, 9, 50.0)
    assert everyone.present[0, :, 0].tolist() == [True, False, True, True, True]
    gone = seen.present.clone()
    gone[0, 3, -1] = False
    assert nearest(seen.replace(present=gone), 1, 50.0).past[0, 1, -1, 0] == 20.0


def test_the_strongest_of_nobody_is_zero() -> None:
    """Unheard agents do not count, and without any every feature is 0."""
    values = torch.tensor([[[1.0, -2.0], [5.0, 3.0]]])
    assert strongest(values, torch.tensor([[True, False]])).tolist() == [[1.0, 0.0]]
    assert strongest(values, torch.tensor([[False, False]])).tolist() == [[0.0, 0.0]]
    assert strongest(values[:, :0], torch.ones(1, 0, dtype=torch.bool)).tolist() == [[0.0, 0.0]]
