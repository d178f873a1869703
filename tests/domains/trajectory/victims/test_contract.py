"""What holds for every predictor, trained or not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from robeval.domains.trajectory.batch import PAD, Observation, SceneBatch
from robeval.domains.trajectory.victims.base import TrajectoryVictim

CrowdOf = Callable[..., SceneBatch]
Build = Callable[..., TrajectoryVictim]


def slope(victim: TrajectoryVictim, seen: Observation) -> torch.Tensor:
    """The gradient of the squared most likely path by every position of the scene."""
    past = seen.past.clone().requires_grad_()
    path = victim.predict(seen.replace(past=past)).most_likely()
    (gradient,) = torch.autograd.grad((path - past[:, :1, -1].detach()).square().sum(), past)
    return gradient


@pytest.mark.parametrize(
    ("history", "horizon", "dt"), [(4, 12, 0.5), (8, 12, 0.4), (15, 25, 0.2), (1, 1, 1.0)]
)
def test_paths_have_the_asked_horizon_and_probabilities_sum_to_one(
    victim: TrajectoryVictim, crowd_of: CrowdOf, history: int, horizon: int, dt: float
) -> None:
    """Any history, horizon and time step is answered in the promised shapes."""
    seen = crowd_of(history=history, horizon=horizon, dt=dt).observation()
    paths, probability = victim.predict(seen)
    modes = paths.shape[1]
    assert paths.shape == (6, modes, horizon, 2)
    assert probability.shape == (6, modes)
    assert paths.isfinite().all()
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(6))


def test_only_trajectron_has_several_modes(victim: TrajectoryVictim, seen: Observation) -> None:
    """Trajectron answers with six different paths, the others with one."""
    paths = victim.predict(seen).paths
    modes = 6 if type(victim).__name__ == "Trajectron" else 1
    assert paths.shape[1] == modes
    assert len(paths[0].flatten(1).unique(dim=0)) == modes


def test_windows_are_folded_into_rows(victim: TrajectoryVictim, crowd_of: CrowdOf) -> None:
    """A scene with three windows is answered like its three cut-outs."""
    scenes = crowd_of(windows=3)
    paths, probability = victim(scenes)
    assert paths.shape[:2] == probability.shape[:2] == (6, 3)
    cut = slice(1, 1 + scenes.history)
    seen = Observation(
        scenes.ids, scenes.track[:, :, cut], scenes.present[:, :, cut], scenes.kind, scenes.dt, scenes.horizon
    )
    torch.testing.assert_close(paths[:, 1], victim.predict(seen).paths, rtol=1e-5, atol=1e-5)


def test_float64_gives_the_same_answer_in_double_precision(
    victim: TrajectoryVictim, seen: Observation
) -> None:
    """In float64 everything is float64 and close to the float32 answer."""
    single = victim.predict(seen)
    double = victim.double().predict(seen.replace(past=seen.past.double()))
    assert double.paths.dtype == double.probability.dtype == torch.float64
    torch.testing.assert_close(double.paths.float(), single.paths, rtol=1e-4, atol=1e-4)


def test_a_row_does_not_depend_on_its_batch(victim: TrajectoryVictim, seen: Observation) -> None:
    """Answers in a batch equal answers one by one, in any order."""
    together = victim.predict(seen)
    for number in range(len(seen)):
        alone = victim.predict(seen.select([number]))
        torch.testing.assert_close(alone.paths[0], together.paths[number], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.probability[0], together.probability[number], rtol=1e-5, atol=1e-5)


def test_training_mode_changes_nothing(victim: TrajectoryVictim, seen: Observation) -> None:
    """No dropout and no batch statistics: an attack in training mode meets the same victim."""
    expected = victim.predict(seen).paths
    torch.testing.assert_close(victim.train().predict(seen).paths, expected, rtol=0, atol=0)


def test_moving_the_scene_moves_the_answer(victim: TrajectoryVictim, seen: Observation) -> None:
    """Shifting all present positions shifts the paths by the same vector."""
    shift = torch.tensor([1000.0, -700.0], dtype=torch.float64)
    victim = victim.double()
    past = seen.past.double()
    moved = torch.where(seen.present.unsqueeze(-1), past + shift, 0.0)
    expected = victim.predict(seen.replace(past=past)).paths + shift
    torch.testing.assert_close(victim.predict(seen.replace(past=moved)).paths, expected, rtol=0, atol=1e-8)


def test_turning_the_scene_turns_the_answer(victim: TrajectoryVictim, seen: Observation) -> None:
    """Rotating all positions about the origin rotates the paths."""
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    victim = victim.double()
    past = seen.past.double()
    expected = victim.predict(seen.replace(past=past)).paths @ turn.T
    torch.testing.assert_close(
        victim.predict(seen.replace(past=past @ turn.T)).paths, expected, rtol=0, atol=1e-8
    )


def test_the_slope_reaches_every_observed_frame_of_the_target(
    learned: str, build: Build, seen: Observation
) -> None:
    """Each position of the target, in both axes, changes a learned victim's answer."""
    gradient = slope(build(learned).double(), seen.replace(past=seen.past.double()))
    assert gradient.isfinite().all()
    assert (gradient[:, 0].abs() > 1e-9).all()


def test_the_slope_is_the_slope_of_the_answer_rebuilt_from_numbers(
    learned: str, build: Build, crowd_of: CrowdOf
) -> None:
    """A perturbed track that leaves autograd, goes through numpy and comes back gives the path that was attacked."""
    victim = build(learned).double()
    scenes = crowd_of()
    scenes = scenes.replace(track=scenes.track.double())
    offset = torch.linspace(-0.4, 0.4, 8, dtype=torch.float64).view(1, 4, 2).repeat(6, 1, 1).requires_grad_()
    attacked = victim(scenes.moved(offset)).paths
    track = np.array(scenes.track.tolist())
    track[:, 0, :4] += np.array(offset.tolist())
    reloaded = scenes.replace(track=torch.from_numpy(track))
    torch.testing.assert_close(victim(reloaded).paths, attacked, rtol=0, atol=1e-12)

    # ... and the gradient promises what a small step then really does.
    (gradient,) = torch.autograd.grad(attacked.square().sum(), offset)
    step = 1e-6 * gradient / gradient.norm()
    with torch.no_grad():
        gained = victim(scenes.moved(offset + step)).paths.square().sum() - attacked.square().sum()
    torch.testing.assert_close(gained, (gradient * step).sum(), rtol=1e-3, atol=0)


def test_a_padded_agent_changes_nothing(victim: TrajectoryVictim, seen: Observation) -> None:
    """What stands in absent agents and frames is never read."""
    noise = torch.where(seen.present.unsqueeze(-1), seen.past, torch.full_like(seen.past, 7.0))
    wider = seen.replace(
        past=torch.cat([noise, torch.full_like(noise[:, :1], -3.0)], dim=1),
        present=torch.cat([seen.present, torch.zeros_like(seen.present[:, :1])], dim=1),
        kind=torch.cat([seen.kind, torch.full_like(seen.kind[:, :1], PAD)], dim=1),
    )
    expected = victim.predict(seen).paths
    torch.testing.assert_close(victim.predict(wider).paths, expected, rtol=1e-5, atol=1e-5)


def test_a_lonely_target_is_answered(victim: TrajectoryVictim, seen: Observation) -> None:
    """Without any other agent, or with absent ones only, answer and slope are finite and the same."""
    alone = seen.replace(past=seen.past[:, :1], present=seen.present[:, :1], kind=seen.kind[:, :1])
    absent = seen.replace(present=seen.present & (torch.arange(5) == 0).view(1, 5, 1))
    paths = victim.predict(alone).paths
    torch.testing.assert_close(victim.predict(absent).paths, paths, rtol=1e-5, atol=1e-5)
    assert paths.isfinite().all()
    assert slope(victim, alone).isfinite().all()


def test_a_standing_target_stays_where_it_is(victim: TrajectoryVictim, seen: Observation) -> None:
    """A target that never moved has no direction: it is predicted in place, with a finite slope."""
    standing = seen.with_target_past(seen.past[:, 0, -1:].expand(-1, 4, -1).clone())
    paths = victim.predict(standing).paths
    expected = seen.past[:, 0, -1].view(6, 1, 1, 2).expand_as(paths)
    torch.testing.assert_close(paths, expected, rtol=0, atol=1e-4)
    assert slope(victim, standing).isfinite().all()


def test_agents_on_one_spot_give_a_finite_slope(victim: TrajectoryVictim, seen: Observation) -> None:
    """Neighbours exactly on the target, moving with it, break no distance or direction."""
    together = seen.replace(past=seen.past[:, :1].expand_as(seen.past).clone())
    assert victim.predict(together).paths.isfinite().all()
    assert slope(victim, together).isfinite().all()


def test_gaps_in_the_targets_history_are_bridged(victim: TrajectoryVictim, seen: Observation) -> None:
    """A target with missing frames, or none at all, has a finite answer and no slope by what was not seen."""
    present = seen.present.clone()
    present[0, 0, 1] = False
    present[1, 0, :2] = False
    present[2, 0, 3] = False
    present[3, 0] = False
    gappy = seen.replace(present=present, past=torch.where(present.unsqueeze(-1), seen.past, 0.0))
    gradient = slope(victim, gappy)
    assert victim.predict(gappy).paths.isfinite().all()
    assert gradient.isfinite().all()
    assert (gradient[~present] == 0).all()


def test_neighbours_matter_to_the_victims_that_look_at_them(
    learned: str, build: Build, seen: Observation
) -> None:
    """A closer neighbour changes every learned answer."""
    close = seen.past.clone()
    close[:, 1] = close[:, 0] + torch.tensor([3.0, 1.0])
    present = seen.present.clone()
    present[:, 1] = True
    victim = build(learned)
    far = victim.predict(seen.replace(present=present & (torch.arange(5) == 0).view(1, 5, 1)))
    near = victim.predict(seen.replace(past=close, present=present))
    assert ((near.paths - far.paths).abs().flatten(1).amax(dim=1) > 1e-5).all()


def test_features_give_one_row_of_numbers_per_row(learned: str, build: Build, seen: Observation) -> None:
    """The encoding is [rows, features] and carries a slope."""
    past = seen.past.clone().requires_grad_()
    features = build(learned).features(seen.replace(past=past))
    assert features.dim() == 2
    assert len(features) == 6
    (gradient,) = torch.autograd.grad(features.sum(), past)
    assert (gradient[:, 0].abs().sum(dim=(1, 2)) > 0).all()


def test_loss_is_one_number_per_scene_and_ignores_unknown_futures(
    learned: str, build: Build, crowd_of: CrowdOf
) -> None:
    """The loss of a scene depends on its own known future alone."""
    victim = build(learned)
    scenes = crowd_of(windows=2)
    present = scenes.present.clone()
    present[0, 0, -3:] = False
    gappy = scenes.replace(present=present)
    loss = victim.loss(gappy)
    assert loss.shape == (6,)
    assert loss.requires_grad
    elsewhere = gappy.track.clone()
    elsewhere[0, 0, -3:] = 500.0
    torch.testing.assert_close(victim.loss(gappy.replace(track=elsewhere)), loss)
    torch.testing.assert_close(victim.loss(gappy.select([4])), loss[4:5], rtol=1e-5, atol=1e-5)


def test_loss_without_any_known_future_is_finite(learned: str, build: Build, crowd_of: CrowdOf) -> None:
    """A target that leaves at once teaches nothing and breaks nothing."""
    scenes = crowd_of()
    present = scenes.present.clone()
    present[:, 0, 4:] = False
    victim = build(learned)
    loss = victim.loss(scenes.replace(present=present))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in victim.parameters())
