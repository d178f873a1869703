"""The batched path follower against a plain one, and against hand-made cases."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.curvature import dense_curvature
from robeval.seeding import Seed
from robeval_attacks.trajectory.follower import GOAL_TOLERANCE_M, STEP_M, Driven, Waypoints, follow


def plain(
    points: np.ndarray,
    start: np.ndarray,
    yaw: float,
    lookahead_m: float,
    most_curvature: float,
    monotone: bool,
) -> tuple[np.ndarray, bool]:
    """One path, one step at a time, as the method is written: 51 points a segment, all searched."""
    table = [a + (b - a) * j / 51 for a, b in itertools.pairwise(points) for j in range(1, 52)]
    length = sum(math.dist(a, b) for a, b in itertools.pairwise(points))
    x, y, curvature, driven, aimed = float(start[0]), float(start[1]), 0.0, [], -1
    for _ in range(math.ceil(1.3 * length / 0.6) + 6):
        if math.hypot(points[-1][0] - x, points[-1][1] - y) <= 0.5:
            break
        near = [i for i, (px, py) in enumerate(table) if math.hypot(px - x, py - y) < lookahead_m]
        near = [i for i in near if i >= aimed] if monotone else near
        aimed = near[-1] if near else min(aimed + 1, len(table) - 1)
        dx, dy = table[aimed][0] - x, table[aimed][1] - y
        wanted = 2 * (-dx * math.sin(yaw) + dy * math.cos(yaw)) / (dx * dx + dy * dy)
        rate = (max(-most_curvature, min(most_curvature, wanted)) - curvature) / (12 * 0.05)
        for _ in range(12):
            x, y = x + 0.05 * math.cos(yaw), y + 0.05 * math.sin(yaw)
            yaw += curvature * 0.05
            curvature += rate * 0.05
            driven.append((x, y))
    arrived = math.hypot(points[-1][0] - x, points[-1][1] - y) <= 0.5
    return np.array(driven).reshape(-1, 2), arrived


def random_ways(rows: int, segments: int, seed: int = 0) -> Waypoints:
    """Bent tracks of 1 to 9 m a segment with up to 1 m of displacement, far from the origin."""
    draw = Seed(seed).draws([f"way-{number}" for number in range(rows)])
    step_m = draw.uniform(1, low=1.0, high=9.0, dtype=torch.float64)
    yaw = draw.uniform(1, low=-math.pi, high=math.pi, dtype=torch.float64)
    turn = draw.uniform(1, low=-0.25, high=0.25, dtype=torch.float64)
    angle = yaw + turn * torch.arange(segments)
    step = step_m.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], dim=-1)
    clean = torch.cat([torch.zeros(rows, 1, 2, dtype=torch.float64), step.cumsum(dim=1)], dim=1) + 300.0
    moved = clean + draw.uniform(segments + 1, 2, low=-0.7, high=0.7, dtype=torch.float64)
    points = torch.cat([moved[:, :-1], clean[:, -1:]], dim=1)
    reach = draw.uniform(1, low=2.0, high=5.0, dtype=torch.float64).squeeze(1)
    return Waypoints(points, clean[:, 0].clone(), angle[:, 0].clone(), reach)


def line(step_m: float, segments: int = 4, lookahead_m: float = 5.0) -> Waypoints:
    """Equal steps along +x from the origin."""
    x = step_m * torch.arange(segments + 1, dtype=torch.float64)
    points = torch.stack([x, torch.zeros_like(x)], dim=-1).unsqueeze(0)
    return Waypoints(points, points[:, 0], torch.zeros(1).double(), torch.tensor([lookahead_m]).double())


def rows_of(way: Waypoints, rows: list[int]) -> Waypoints:
    """Some of the ways."""
    return Waypoints(*(value[rows] for value in way))


def path_of(driven: Driven, row: int) -> Tensor:
    """The driven points of one row, start left out."""
    return driven.dense()[row, 1 : 1 + int(driven.updates[row]) * 12]


@pytest.mark.parametrize(
    ("segments", "monotone", "most"), [(4, False, math.inf), (4, True, 0.2), (9, True, 0.2)]
)
def test_a_batch_drives_exactly_like_one_vehicle_step_by_step(
    segments: int, monotone: bool, most: float
) -> None:
    """Every point of every row is within 1e-9 m of the plain reference, and arrival agrees."""
    way = random_ways(12, segments)
    driven = follow(way, monotone=monotone, max_curvature=most)
    for row in range(12):
        expected, arrived = plain(
            way.points[row].numpy(),
            way.start[row].numpy(),
            float(way.yaw[row]),
            float(way.lookahead_m[row]),
            most,
            monotone,
        )
        np.testing.assert_allclose(path_of(driven, row).numpy(), expected, atol=1e-9, rtol=0)
        assert bool(driven.arrived[row]) == arrived
    assert driven.arrived.float().mean() > 0.5


def test_along_a_straight_line_it_drives_straight_to_the_goal() -> None:
    """Ten metres take 16 updates of 0.6 m: after 15 the goal is 1 m away, after 16 it is 0.4 m."""
    driven = follow(line(2.5))
    assert driven.updates.tolist() == [16]
    assert driven.arrived.tolist() == [True]
    torch.testing.assert_close(driven.end, torch.tensor([[9.6, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(
        path_of(driven, 0)[:3, 0], torch.tensor([0.05, 0.1, 0.15], dtype=torch.float64)
    )
    assert path_of(driven, 0)[:, 1].abs().max() == 0


def test_places_between_the_small_steps_are_on_the_path() -> None:
    """`at` follows the driven path, also between points, and stays at its ends."""
    driven = follow(line(2.5))
    arc = torch.tensor([[-1.0, 0.0, 0.03, 0.6, 5.01, 9.6, 50.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 0.0, 0.03, 0.6, 5.01, 9.6, 9.6]], dtype=torch.float64)
    torch.testing.assert_close(driven.at(arc)[..., 0], expected)


def test_steps_are_five_centimetres() -> None:
    """The path is driven at unit speed: consecutive points are 5 cm apart."""
    driven = follow(random_ways(20, 4))
    step = driven.dense().diff(dim=1).norm(dim=-1)
    torch.testing.assert_close(
        step[~step.isnan()], torch.full((int((~step.isnan()).sum()),), STEP_M).double()
    )


def test_arrival_means_half_a_metre() -> None:
    """An arrived row ends within 0.5 m of its goal, and every earlier update began farther away."""
    way = random_ways(40, 4)
    driven = follow(way)
    gap = (driven.end - way.points[:, -1]).norm(dim=1)
    assert (gap[driven.arrived] <= GOAL_TOLERANCE_M).all()
    goal = way.points[:, -1] - way.start
    before = (driven.states[:, :2] - goal.t()).norm(dim=1)
    made = torch.arange(len(before)).unsqueeze(1) < driven.updates
    assert (before[made] > GOAL_TOLERANCE_M).all()


def test_curvature_stays_below_its_cap() -> None:
    """With a cap of 0.2 1/m no part of the driven path turns harder; without it some does."""
    way = random_ways(60, 4)
    capped = follow(way, monotone=True, max_curvature=0.2)
    assert capped.states[:, 3].abs().max() <= 0.2 + 1e-12
    assert dense_curvature(capped.dense(), STEP_M).nan_to_num().max() <= 0.2 + 1e-3
    assert follow(way, monotone=True).states[:, 3].abs().max() > 0.25


def test_curvature_rate_stays_below_its_cap() -> None:
    """With a cap of 0.3 1/m² curvature never changes faster."""
    driven = follow(random_ways(30, 4), max_curvature=0.2, max_curvature_rate=0.3)
    assert driven.states[:, 4].abs().max() <= 0.3
    assert driven.states[:, 3].abs().max() <= 0.2 + 1e-12


def test_a_row_does_not_know_its_neighbours() -> None:
    """A row alone, and among others in another order, drives the same path."""
    way = random_ways(12, 4)
    together = follow(way)
    for rows in ([7], [11, 3, 7]):
        alone = follow(rows_of(way, rows))
        torch.testing.assert_close(path_of(alone, len(rows) - 1), path_of(together, 7), atol=1e-12, rtol=0)


def test_a_goal_that_cannot_be_reached_is_said() -> None:
    """A goal beside the vehicle, inside its tightest circle, ends at the update limit as not arrived."""
    points = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    way = Waypoints(points, points[:, 0], torch.zeros(1).double(), torch.tensor([5.0]).double())
    driven = follow(way, monotone=True, max_curvature=0.2)
    assert not driven.arrived.any()
    assert driven.updates.tolist() == [math.ceil(1.3 * 2 / 0.6) + 6]
    assert driven.dense().isfinite().all()


def test_a_vehicle_at_its_goal_stays() -> None:
    """A goal within 0.5 m needs no update, alone or beside a row that drives."""
    alone = follow(line(0.1))
    assert alone.updates.tolist() == [0]
    assert alone.arrived.all()
    both = follow(Waypoints(*(torch.cat(pair) for pair in zip(line(0.1), line(2.5), strict=True))))
    assert both.updates.tolist() == [0, 16]
    place = torch.full((2, 1), 1.0, dtype=torch.float64)
    torch.testing.assert_close(both.at(place)[:, 0, 0], torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(alone.at(place[:1]), torch.zeros(1, 1, 2, dtype=torch.float64))


def test_repeated_waypoints_do_no_harm() -> None:
    """Waypoints on top of each other leave the path of a straight line unchanged."""
    twice = line(2.5).points.repeat_interleave(2, dim=1)
    way = line(2.5)._replace(points=twice)
    torch.testing.assert_close(follow(way).dense(), follow(line(2.5)).dense())


def test_progress_never_turns_back_when_monotone() -> None:
    """Past a hairpin whose goal came within reach early, a monotone vehicle keeps aiming at the goal.

    One that may turn back aims at the near leg again once the goal is out of reach, and drives elsewhere.
    """
    corners = [[0.0, 0.0], [4.0, 0.0], [10.0, 0.0], [10.0, 4.0], [4.0, 1.9]]
    points = torch.tensor([corners], dtype=torch.float64)
    way = Waypoints(points, points[:, 0], torch.zeros(1).double(), torch.tensor([2.0]).double())
    ends = []
    for monotone in (True, False):
        driven = follow(way, monotone=monotone, max_curvature=0.2)
        expected, _ = plain(points[0].numpy(), points[0, 0].numpy(), 0.0, 2.0, 0.2, monotone)
        np.testing.assert_allclose(path_of(driven, 0).numpy(), expected, atol=1e-9, rtol=0)
        ends.append(driven.end)
    assert (ends[0] - ends[1]).norm() > 1.0


def test_the_exact_gradient_matches_differences() -> None:
    """Through the whole drive, a place's slope in the waypoints is what finite differences say.

    Where aiming jumps to another point the function has a step; 1e-7 m rarely crosses one.
    """
    way = random_ways(6, 4, seed=3)
    arc = torch.full((6, 1), 3.3, dtype=torch.float64)

    def total(points: Tensor) -> Tensor:
        return follow(way._replace(points=points), max_curvature=0.2).at(arc).sum()

    points = way.points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(total(points), points)
    direction = Seed(1).draws(["a"]).normal(6, 5, 2, dtype=torch.float64)[0]
    size = 1e-7
    change = (total(way.points + size * direction) - total(way.points - size * direction)) / (2 * size)
    assert slope.abs().max() > 1e-3
    torch.testing.assert_close((slope * direction).sum(), change, rtol=1e-4, atol=1e-6)
