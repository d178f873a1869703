"""How SA-Attack's vehicle rebuilds a history, published and adaptive."""

import math

import pytest
import torch
from torch import Tensor

from robeval.domains.trajectory.curvature import menger_curvature
from robeval.seeding import Seed
from robeval_attacks.trajectory.sa_vehicle import Adaptive, CleanDrive, Published

DT = 0.5


def drive_of(points: Tensor, heading: float | Tensor = math.nan) -> CleanDrive:
    """A clean drive [rows, n + 1, 2] at 2 Hz."""
    rows, frames, _ = points.shape
    angle = torch.as_tensor(heading, dtype=torch.float64).expand(rows)
    return CleanDrive(points.double(), angle, torch.full((rows,), (frames - 1) * DT).double())


def along_x(speed_m_s: float, frames: int = 5, slowing_m_s2: float = 0.0) -> Tensor:
    """Positions on the x axis, starting at the origin: [1, frames, 2]."""
    time = DT * torch.arange(frames, dtype=torch.float64)
    x = speed_m_s * time - 0.5 * slowing_m_s2 * time**2
    return torch.stack([x, torch.zeros_like(x)], dim=-1).unsqueeze(0)


def bends(rows: int, low_m_s: float, high_m_s: float, frames: int = 5) -> CleanDrive:
    """Gentle bends at constant speed with 3 cm of noise and no heading."""
    draw = Seed(1).draws([f"bend-{number}" for number in range(rows)])
    speed = draw.uniform(1, low=low_m_s, high=high_m_s, dtype=torch.float64)
    curvature = draw.uniform(1, low=-0.02, high=0.02, dtype=torch.float64)
    turned = curvature * speed * DT * torch.arange(frames) + draw.uniform(1, high=6.0, dtype=torch.float64)
    step = (speed * DT).unsqueeze(-1) * torch.stack([turned.cos(), turned.sin()], dim=-1)
    return drive_of(step.cumsum(dim=1) + draw.normal(frames, 2, std=0.03, dtype=torch.float64))


def nothing(clean: CleanDrive) -> Tensor:
    """No displacement."""
    return torch.zeros_like(clean.points[:, 1:])


def shaken(clean: CleanDrive, vehicle: Published | Adaptive) -> Tensor:
    """Up to 1 m of displacement per axis, scaled as the vehicle wants it."""
    draw = Seed(2).draws([str(number) for number in range(len(clean.points))])
    offset = draw.uniform(clean.points.shape[1] - 1, 2, low=-1.0, high=1.0, dtype=torch.float64)
    return vehicle.scale(offset).view(-1, 1, 1) * offset


def deviation(offset: Tensor) -> Tensor:
    """The farthest displacement of each row."""
    return offset.norm(dim=-1).amax(dim=1)


def test_the_published_drive_of_a_straight_track_by_hand() -> None:
    """10 m take 192 points; frame i of 4 gets point 48 i, at 0.05 + 2.4 i instead of 2.5 i metres."""
    clean = drive_of(along_x(5.0))
    offset, arrived = Published(clean, 1.0).rebuild(nothing(clean))
    assert arrived.tolist() == [True]
    expected = torch.tensor([[0.05, -0.05, -0.15, -0.25]], dtype=torch.float64)
    torch.testing.assert_close(offset[..., 0], expected)
    assert offset[..., 1].abs().max() == 0


@pytest.mark.parametrize(
    "track", [along_x(1.0), along_x(9.0), along_x(10.0, slowing_m_s2=3.0), along_x(6.0, 10)]
)
def test_the_adaptive_drive_of_a_straight_track_changes_nothing(track: Tensor) -> None:
    """Without a displacement and without a bend the clean positions come back, also while braking."""
    clean = drive_of(track)
    offset, arrived = Adaptive(clean, 1.0, 0.2).rebuild(nothing(clean))
    assert arrived.all()
    assert deviation(offset).max() < 1e-9


def test_adaptive_rebuilds_bends_closely_and_published_less_so() -> None:
    """Undisplaced noisy bends move 0.08 m (median) and 0.2 m (p95) at most; in the published drive more."""
    for low, high in ((0.9, 4.0), (4.0, 9.0), (9.0, 16.0)):
        clean = bends(64, low, high)
        ours = Adaptive(clean, 1.0, 0.2).rebuild(nothing(clean))
        theirs = Published(clean, 1.0).rebuild(nothing(clean))
        moved = deviation(ours.offset)
        assert ours.arrived.all()
        assert theirs.arrived.all()
        assert moved.median() <= 0.08
        assert moved.quantile(0.95) <= 0.2
        assert 0.1 <= deviation(theirs.offset).median() <= 0.35


def test_published_speed_is_constant() -> None:
    """A braking car comes back with equal steps, more than 1 m from where it was."""
    clean = drive_of(along_x(10.0, slowing_m_s2=3.0))
    offset = Published(clean, 1.0).rebuild(nothing(clean)).offset
    step = (clean.points[:, :-1] + offset).diff(dim=1).norm(dim=-1)
    assert step.max() - step.min() <= 0.05 + 1e-9
    assert deviation(offset) > 1.0


def test_adaptive_keeps_the_shares_of_the_way() -> None:
    """Displaced and driven, each frame is as far along its path as the clean one, up to the chords."""
    clean = drive_of(along_x(12.0, slowing_m_s2=3.0))
    vehicle = Adaptive(clean, 1.0, 0.2)
    offset, arrived = vehicle.rebuild(shaken(clean, vehicle))
    assert arrived.all()
    moved = torch.cat([clean.points[:, :-1] + offset, clean.points[:, -1:]], dim=1)
    way = moved.diff(dim=1).norm(dim=-1).cumsum(dim=1)
    torch.testing.assert_close(
        way / way[:, -1:], (clean.arc_m / clean.arc_m[:, -1:])[:, 1:], atol=0.02, rtol=0
    )
    assert deviation(offset) > 0.1


@pytest.mark.parametrize(
    ("speed_m_s", "low", "high"), [(1.0, 0.0, 0.005), (2.0, 0.0, 0.005), (12.0, 0.2, 1.0)]
)
def test_the_published_drive_ignores_displacements_at_low_speed(
    speed_m_s: float, low: float, high: float
) -> None:
    """With a look-ahead of 5 m a vehicle below 2 m/s sees only the goal; a fast one follows."""
    clean = bends(32, speed_m_s, speed_m_s)
    vehicle = Published(clean, 1.0)
    response = vehicle.rebuild(shaken(clean, vehicle)).offset - vehicle.rebuild(nothing(clean)).offset
    assert low <= deviation(response).median() <= high


def test_the_adaptive_drive_answers_at_low_speed() -> None:
    """Where the published drive is inert the adaptive one moves by centimetres, within what it may."""
    clean = bends(32, 2.0, 2.0)
    vehicle = Adaptive(clean, 1.0, 0.2)
    response = vehicle.rebuild(shaken(clean, vehicle)).offset - vehicle.rebuild(nothing(clean)).offset
    assert 0.05 <= deviation(response).median() <= 0.5


def test_driven_histories_bend_like_cars() -> None:
    """95 % of curvatures stay below 0.35 1/m (adaptive) and 0.15 1/m (published) at every speed."""
    for low, high in ((1.0, 4.0), (4.0, 9.0), (9.0, 16.0)):
        clean = bends(64, low, high)
        for vehicle, most in ((Adaptive(clean, 1.0, 0.2), 0.35), (Published(clean, 1.0), 0.15)):
            offset, arrived = vehicle.rebuild(shaken(clean, vehicle))
            track = torch.cat([clean.points[:, :-1] + offset, clean.points[:, -1:]], dim=1)
            assert menger_curvature(track)[arrived].nanquantile(0.95) <= most


def test_scales_by_hand() -> None:
    """Published: hundredths that fit 1 m. Adaptive: no more than the tightest curve reaches, 0.2 S² / 8."""
    offset = torch.tensor([[[3.0, 4.0]] * 4, [[0.3, 0.4]] * 4, [[0.0, 0.0]] * 4], dtype=torch.float64)
    fast, slow = drive_of(along_x(10.0).repeat(3, 1, 1)), drive_of(along_x(1.0).repeat(3, 1, 1))
    assert Published(fast, 1.0).scale(offset).tolist() == [0.2, 1.0, 1.0]
    assert Published(fast, 0.33).scale(offset).tolist() == [0.06, 0.66, 1.0]
    torch.testing.assert_close(
        Adaptive(slow, 1.0, 0.2).scale(offset), torch.tensor([0.02, 0.2, 1.0], dtype=torch.float64)
    )
    torch.testing.assert_close(
        Adaptive(fast, 1.0, 0.2).scale(offset), torch.tensor([0.2, 1.0, 1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize("angle", [0.0, 1.0, math.pi, -2.0])
def test_an_absent_heading_is_read_off_the_track(angle: float) -> None:
    """Without a heading both vehicles set out along the track, whatever its direction."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    for speed_m_s in (0.8, 8.0):
        straight = drive_of(along_x(speed_m_s))
        turned = drive_of(straight.points @ turn)
        for kind in (lambda clean: Published(clean, 1.0), lambda clean: Adaptive(clean, 1.0, 0.2)):
            expected = kind(straight).rebuild(nothing(straight)).offset @ turn
            torch.testing.assert_close(kind(turned).rebuild(nothing(turned)).offset, expected)


def test_adaptive_trusts_a_heading_within_thirty_degrees() -> None:
    """A heading 20 degrees off the chord steers the start; one that is 90 degrees off or absent does not."""
    track = along_x(8.0)

    def moved(degrees: float) -> Tensor:
        clean = drive_of(track, math.radians(degrees))
        return deviation(Adaptive(clean, 1.0, 0.2).rebuild(nothing(clean)).offset)

    assert moved(20.0) > 0.1
    assert moved(340.0) > 0.1
    assert moved(90.0) < 1e-9
    assert moved(math.nan) < 1e-9


def test_a_wrong_heading_misleads_the_published_drive() -> None:
    """20 degrees cost more than 0.3 m, as measured on the authors' code."""
    clean = drive_of(along_x(8.0), math.radians(20))
    vehicle = Published(clean, 1.0)
    assert deviation(vehicle.rebuild(nothing(clean)).offset) > 0.3


def test_a_drive_that_never_arrives_changes_nothing() -> None:
    """A vehicle that would have to turn on the spot is given up: no displacement, not arrived."""
    points = torch.tensor(
        [[[0.0, 0.0], [0.6, 0.0], [0.6, 0.6], [0.0, 1.2], [-0.6, 1.2]]], dtype=torch.float64
    )
    clean = drive_of(points)
    offset, arrived = Adaptive(clean, 1.0, 0.2).rebuild(nothing(clean))
    assert not arrived.any()
    assert (offset == 0).all()


@pytest.mark.parametrize("budget_m", [0.1, 0.5, 1.0])
def test_the_adaptive_drive_stays_within_the_budget(budget_m: float) -> None:
    """Whatever is followed, no frame moves farther than the budget, and the first does not move."""
    for low, high in ((0.9, 4.0), (9.0, 16.0)):
        clean = bends(48, low, high, frames=10)
        vehicle = Adaptive(clean, budget_m, 0.2)
        offset = vehicle.rebuild(shaken(clean, vehicle)).offset
        assert deviation(offset).max() <= budget_m
        assert (offset[:, 0] == 0).all()


def test_selecting_rows_of_a_vehicle_drives_the_same() -> None:
    """Some rows of a vehicle rebuild what they rebuild among all."""
    clean = bends(12, 1.0, 12.0)
    rows = torch.tensor([7, 2])
    for vehicle in (Published(clean, 1.0), Adaptive(clean, 0.7, 0.2, 0.3)):
        offset = shaken(clean, vehicle)
        some = vehicle.select(rows)
        torch.testing.assert_close(some.scale(offset[rows]), vehicle.scale(offset)[rows])
        torch.testing.assert_close(some.rebuild(offset[rows]).offset, vehicle.rebuild(offset).offset[rows])
