"""From controls to positions: a vehicle that cannot move sideways.

Source: the dynamics of Trajectron++ (arXiv:2001.03093); limits as in the authors' repository.
Differs: limits bend smoothly (a clamp has no slope beyond them).
"""

import torch
from jaxtyping import Float
from torch import Tensor

TURN_RAD_S = 0.7
BRAKE_M_S2, THROTTLE_M_S2 = 5.0, 4.0


def limited(raw: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows 2"]:
    """Turn rate (rad/s) from tenths of it and acceleration (m/s²), within the limits; small values pass unchanged."""
    turn = TURN_RAD_S * torch.tanh(raw[..., 0] / (10 * TURN_RAD_S))
    most = torch.where(raw[..., 1] > 0, THROTTLE_M_S2, BRAKE_M_S2)
    return torch.stack([turn, most * torch.tanh(raw[..., 1] / most)], dim=-1)


def drive(
    controls: Float[Tensor, "rows modes horizon 2"],
    speed_m_s: Float[Tensor, "rows 1 1"],
    dt: Float[Tensor, "rows 1 1"],
) -> Float[Tensor, "rows modes horizon 2"]:
    """How far each step is from where constant velocity along +x would be, metres.

    A step follows the arc of its turn rate at its mean speed; speed never becomes negative.
    """
    turn, throttle = controls.unbind(-1)
    after = speed_m_s + (throttle * dt).cumsum(dim=-1)
    before = torch.cat([speed_m_s.expand_as(after[..., :1]), after[..., :-1]], dim=-1)
    arc = (before.relu() + after.relu()) / 2 * dt
    half = turn * dt / 2
    heading = (turn * dt).cumsum(dim=-1) - half
    chord = arc * torch.sinc(half / torch.pi)
    steps = torch.stack([chord * heading.cos() - speed_m_s * dt, chord * heading.sin()], dim=-1)
    return steps.cumsum(dim=-2)
