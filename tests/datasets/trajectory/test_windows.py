"""Examples built from candidate tracks."""

import math

import numpy as np
import pytest
import torch

from robeval.domains.trajectory.batch import PAD
from robeval_datasets.trajectory.windows import Candidates, Window, assemble, chord_heading, regimes

WINDOW = Window(history=2, horizon=2, windows=1, dt=0.5)


def candidates(position: torch.Tensor, target: int = 0, present: torch.Tensor | None = None) -> Candidates:
    """One scene with the tracks `position` [candidates, frames, 2]."""
    count, frames = position.shape[:2]
    seen = torch.ones(count, frames, dtype=torch.bool) if present is None else present
    return Candidates(
        position=position.unsqueeze(0),
        present=seen.unsqueeze(0),
        kind=torch.full((1, count), 1, dtype=torch.int8),
        heading=torch.zeros(1, count, frames, dtype=torch.float64),
        size=torch.ones(1, count, 2, dtype=torch.float64),
        target=torch.tensor([target]),
        ego=position[:1],
        lanes=position[:1].unsqueeze(0),
    )


def parallel(*sideways: float, frames: int = 4, start: float = 0.0) -> torch.Tensor:
    """Tracks along +x at 2 m per frame, at these lateral positions."""
    x = start + 2.0 * torch.arange(frames, dtype=torch.float64)
    return torch.stack([torch.stack([x, torch.full_like(x, y)], dim=-1) for y in sideways])


def build(who: Candidates, agents: int = 3, window: Window = WINDOW):
    """The example of one scene."""
    return assemble(who, window, agents, ("a",), ("scene",))


def test_target_is_first_and_the_nearest_neighbours_follow() -> None:
    """Agent 0 is the target, then its neighbours from near to far; the farthest is left out."""
    batch = build(candidates(parallel(0.0, 9.0, 20.0, 12.0), target=1))
    assert (batch.track[0, :, 0, 1] + batch.origin[0, 1]).tolist() == [9.0, 12.0, 0.0]


def test_missing_agents_are_padded_not_placed_at_the_origin() -> None:
    """Slots without an agent have kind 0, are absent, and have no heading."""
    batch = build(candidates(parallel(0.0)), agents=3)
    assert batch.kind[0].tolist() == [1, PAD, PAD]
    assert not batch.present[0, 1:].any()
    assert batch.heading[0, 1:].isnan().all()


def test_neighbour_seen_only_in_the_future_is_left_out() -> None:
    """A predictor never sees who arrives later, so such a neighbour takes no slot."""
    present = torch.ones(2, 4, dtype=torch.bool)
    present[1, :2] = False
    batch = build(candidates(parallel(0.0, 3.0), present=present))
    assert not batch.present[0, 1].any()
    assert batch.kind[0, 1] == PAD


def test_absent_frames_of_a_neighbour_hold_zero_whatever_the_source_wrote() -> None:
    """A masked frame has position 0 and unknown heading."""
    position = parallel(0.0, 3.0)
    position[1, 1] = 1e9
    present = torch.ones(2, 4, dtype=torch.bool)
    present[1, 1] = False
    batch = build(candidates(position, present=present))
    assert batch.track[0, 1, 1].tolist() == [0.0, 0.0]
    assert bool(batch.heading[0, 1, 1].isnan())


def test_absent_frames_do_not_make_a_neighbour_near() -> None:
    """Distance counts frames where both are seen; a hole full of zeros is not a place."""
    position = parallel(0.0, 500.0, 30.0)
    position[1, 0] = 0.0
    present = torch.ones(3, 4, dtype=torch.bool)
    present[1, 0] = False
    batch = build(candidates(position, present=present), agents=2)
    assert batch.track[0, 1, 1, 1] - batch.track[0, 0, 1, 1] == 30.0


def test_large_coordinates_keep_their_accelerations() -> None:
    """At UTM size the track plus its origin is the source to 1e-6 m, and accelerations stay exact to 1e-5."""
    frames = torch.arange(4, dtype=torch.float64)
    x = 4_512_345.678901 + 0.3 * frames + 0.01 * frames**2
    source = torch.stack([x, torch.full_like(x, 5_432_109.87654)], dim=-1).unsqueeze(0)
    batch = build(candidates(source), agents=1)
    back = batch.track[0, 0].double() + batch.origin[0]
    assert (back - source[0]).abs().max() < 1e-6
    assert (batch.track[0, 0, :, 0].diff().diff() - 0.02).abs().max() < 1e-5


def test_ego_and_lanes_move_into_the_same_frame() -> None:
    """Everything geometric shares the origin."""
    batch = build(candidates(parallel(7.0, start=1000.0)))
    torch.testing.assert_close(batch.ego[0], batch.track[0, 0])
    torch.testing.assert_close(batch.lanes[0, 0], batch.track[0, 0])


def test_origin_does_not_tell_where_the_clean_target_was() -> None:
    """Two clean tracks one metre apart get the same frame."""
    first, second = build(candidates(parallel(1.0))), build(candidates(parallel(2.0)))
    assert torch.equal(first.origin, second.origin)


@pytest.mark.parametrize(
    ("speed", "name"), [(0.1, "stationary"), (2.0, "low"), (5.0, "medium"), (12.0, "high")]
)
def test_regime_is_the_mean_speed(speed: float, name: str) -> None:
    """Below 1 m in all a target is stationary, otherwise 4 and 9 m/s divide the regimes."""
    x = speed * 0.5 * torch.arange(8)
    track = torch.stack([x, torch.zeros(8)], dim=-1).unsqueeze(0)
    assert regimes(track, torch.ones(1, 8, dtype=torch.bool), dt=0.5) == (name,)


def test_standing_still_overrules_a_known_regime() -> None:
    """A vehicle of a fast scene that stands is stationary."""
    assert regimes(torch.zeros(1, 8, 2), torch.ones(1, 8, dtype=torch.bool), 0.5, ("high",)) == (
        "stationary",
    )


def test_chord_heading_knows_every_quadrant() -> None:
    """Headings are the direction of motion, in (-pi, pi]."""
    for angle in np.linspace(-3.1, 3.1, 9):
        step = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        track = step * torch.arange(3, dtype=torch.float64).unsqueeze(1)
        heading = chord_heading(track, torch.ones(3, dtype=torch.bool))
        torch.testing.assert_close(heading, torch.full((3,), float(angle), dtype=torch.float64))


def test_chord_heading_is_unknown_rather_than_zero() -> None:
    """Standing, absent and lonely frames have no heading; an absent neighbour frame lends no position."""
    track = torch.zeros(6, 2, dtype=torch.float64)
    track[3:, 0] = torch.tensor([50.0, 51.0, 52.0], dtype=torch.float64)
    present = torch.tensor([True, True, False, True, True, True])
    heading = chord_heading(track, present)
    assert heading[:3].isnan().all()
    assert heading[3:].tolist() == [0.0, 0.0, 0.0]
    alone = chord_heading(track[:3], torch.tensor([False, True, False]))
    assert alone.isnan().all()
