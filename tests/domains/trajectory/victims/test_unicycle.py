"""The vehicle under Trajectron's controls, by hand."""

import math

import torch

from robeval.domains.trajectory.victims.unicycle import drive, limited

ONE = torch.ones(1, 1, 1, dtype=torch.float64)


def controls(turn_rad_s: float, throttle_m_s2: float, horizon: int = 6) -> torch.Tensor:
    """The same control at every step."""
    return torch.tensor([turn_rad_s, throttle_m_s2], dtype=torch.float64).expand(1, 1, horizon, 2)


def test_without_controls_nothing_departs_from_constant_velocity() -> None:
    """Zero controls add nothing, exactly."""
    assert (drive(controls(0, 0), 8 * ONE, 0.5 * ONE) == 0).all()


def test_turning_at_constant_speed_drives_a_circle() -> None:
    """At 8 m/s and 0.4 rad/s every position lies on the circle of radius 20 m."""
    departed = drive(controls(0.4, 0), 8 * ONE, 0.5 * ONE)[0, 0]
    time = torch.arange(1, 7) * 0.5
    angle = 0.4 * time.double()
    expected = torch.stack([20 * angle.sin() - 8 * time, 20 * (1 - angle.cos())], dim=-1)
    torch.testing.assert_close(departed, expected)


def test_braking_stops_and_never_reverses() -> None:
    """From 2 m/s at -2 m/s² it stands after one second, 1 m on."""
    departed = drive(controls(0, -2), 2 * ONE, 0.5 * ONE)[0, 0]
    travelled = departed[:, 0] + 2 * 0.5 * torch.arange(1, 7)
    torch.testing.assert_close(travelled, torch.tensor([0.75, 1, 1, 1, 1, 1], dtype=torch.float64))


def test_controls_stay_within_the_published_limits() -> None:
    """Turning at most 0.7 rad/s, braking at most 5, accelerating at most 4 m/s²; each bend keeps a slope."""
    raw = torch.tensor([[1e3, 1e3], [-1e3, -1e3], [0.1, 0.01], [3.0, -2.0]], requires_grad=True)
    result = limited(raw)
    torch.testing.assert_close(result[:2], torch.tensor([[0.7, 4.0], [-0.7, -5.0]]))
    torch.testing.assert_close(result[2], torch.tensor([0.01, 0.01]), rtol=1e-3, atol=0)
    torch.testing.assert_close(result[3, 1], torch.tensor(-5 * math.tanh(0.4)))
    (slope,) = torch.autograd.grad(result[2:].sum(), raw)
    assert (slope[2:] > 0).all()
