"""All kinds of noise end with the same spread; absent frames get none."""

import pytest
import torch

from robeval.seeding import Seed
from robeval_defenses.trajectory.noise import noise_offset

KINDS = ["positions", "position_matched", "control_matched"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("history", [4, 12])
def test_the_last_position_spreads_by_sigma(scenes, kind, history) -> None:
    """The root mean square per axis at the last frame is about sigma, whatever the history's length."""
    seen = scenes(1, history=history).observation().repeat(4000)
    moving = torch.arange(history).float().view(1, 1, -1, 1) * torch.tensor([4.0, 0.0])
    seen = seen.replace(past=moving.expand_as(seen.past))
    draw = Seed(0).draws([str(number) for number in range(4000)])
    offset = noise_offset(seen, draw, kind, sigma_m=0.25)
    spread = offset[:, -1].std(dim=0)
    # Twice-summed noise is matched up to 1 + 3/(2N), the approximation of the published formula.
    assert ((spread > 0.22) & (spread < 0.25 * (1.1 + 1.5 / (history - 1)))).all()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_integrated_noise_starts_at_the_first_frame(scenes, kind) -> None:
    """The first position stays and the spread grows with time."""
    seen = scenes(1, history=8).observation().repeat(2000)
    draw = Seed(0).draws([str(number) for number in range(2000)])
    spread = noise_offset(seen, draw, kind, 0.25).square().sum(-1).mean(0)
    assert spread[0] == 0
    assert (spread.diff() > 0).all()


def test_control_noise_keeps_tracks_smooth(scenes) -> None:
    """At equal spread it bends a track less than white noise on positions."""
    seen = scenes(200, history=8).observation()
    draw = Seed(0).draws(seen.ids)
    bend = {
        kind: noise_offset(seen, draw.fork(kind), kind, 0.25).diff(n=2, dim=1).square().mean()
        for kind in KINDS
    }
    assert bend["control_matched"] < 0.5 * bend["position_matched"] < 0.5 * bend["positions"]


@pytest.mark.parametrize("kind", KINDS)
def test_absent_frames_get_no_noise(scenes, kind) -> None:
    """The offset is zero exactly where the target was not seen."""
    seen = scenes(10).observation()
    seen.present[:, 0, 2] = False
    offset = noise_offset(seen, Seed(0).draws(seen.ids), kind, 0.25)
    assert (offset[:, 2] == 0).all()
    assert (offset[:, 3].abs() > 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_differentiable_where_a_target_stands(scenes, kind) -> None:
    """Standing exactly still gives finite noise and finite slopes."""
    seen = scenes(4).observation()
    past = torch.zeros_like(seen.past).requires_grad_()
    offset = noise_offset(seen.replace(past=past), Seed(0).draws(seen.ids), kind, 0.25)
    assert offset.isfinite().all()
    total = (past[:, 0] + offset).sum()
    (slope,) = torch.autograd.grad(total, past)
    assert slope.isfinite().all()
