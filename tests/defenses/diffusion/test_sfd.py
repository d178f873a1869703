"""Score forgetting distillation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.data import TrainingOnly
from robeval.seeding import Seed
from robeval_defenses.diffusion.sfd import Forgetting, Sfd, clean_estimate, forgetting_loss

FEW = Sfd(iterations=2, batch_size=4)


def test_equal_scores_cost_nothing_and_move_nothing() -> None:
    """A6: where original and follower agree, as functions of the picture, loss and gradient are 0."""
    drawn = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    true, false = 2 * drawn + 1, 2 * drawn + 1
    loss = forgetting_loss(drawn, true, false, 1.2)
    (slope,) = torch.autograd.grad(loss.sum(), drawn)
    assert torch.equal(loss, torch.zeros(2))
    assert torch.equal(slope, torch.zeros_like(drawn))


def test_the_form_at_alpha_one() -> None:
    """A6: <true - false, false - drawn> over the mean |true - drawn|, per row."""
    source = torch.Generator().manual_seed(0)
    drawn, true, false = (torch.randn(2, 3, 4, 4, generator=source) for _ in range(3))
    expected = ((true - false) * (false - drawn)).flatten(1).mean(dim=1)
    expected = expected / (true - drawn).abs().flatten(1).mean(dim=1)
    assert torch.allclose(forgetting_loss(drawn, true, false, 1.0), expected, atol=1e-6)


def test_a_perfect_picture_divides_by_no_zero() -> None:
    """The scale has a floor."""
    drawn = torch.ones(1, 1, 2, 2)
    assert bool(forgetting_loss(drawn, drawn, torch.zeros_like(drawn), 1.2).isfinite().all())


def test_the_clean_estimate_undoes_the_noise(victim: Small) -> None:
    """From the true noise it is the latents themselves."""
    source = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(3, 12, 8, 8, generator=source) for _ in range(2))
    timestep = torch.tensor([20, 500, 979])
    found = clean_estimate(victim, victim.noised(clean, timestep, noise), timestep, noise)
    assert torch.allclose(found, clean, atol=1e-3)


@pytest.fixture
def module(victim: Small, training: TrainingOnly) -> Forgetting:
    """A training that has not begun."""
    made = FEW.robustify(victim, training, Seed(0))
    assert isinstance(made, Forgetting)
    return made


@pytest.mark.parametrize(("step", "moves"), [(0, "generator"), (1, "follower")])
def test_turns(
    module: Forgetting, training: TrainingOnly, monkeypatch: pytest.MonkeyPatch, step: int, moves: str
) -> None:
    """Even steps have a gradient in the generator alone, odd ones in its follower alone."""
    monkeypatch.setattr(Forgetting, "global_step", step)
    batch = training.split("train")
    assert isinstance(batch, PromptBatch)
    loss = module.objective(batch)
    assert loss.shape == (4,)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    networks: dict[str, Any] = {
        "generator": module.victim,
        "follower": module.follower,
        "original": module.original,
    }
    moved = {
        name for name, network in networks.items()
        if any(w.grad is not None and bool((w.grad != 0).any()) for w in network.parameters())
    }  # fmt: skip
    assert moved == {moves}


def test_retained_captions_start_at_rest(
    victim: Small, training: TrainingOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first generator, original and follower are one network: only the concept's part of the loss pulls."""
    batch = training.split("train")
    losses = []
    for forget in (0.0, 1.0):
        module: Any = Sfd(iterations=1, batch_size=4, forget=forget).robustify(victim, training, Seed(0))
        losses.append(module.objective(batch))
    assert torch.allclose(losses[0], torch.zeros(4), atol=1e-5)
    assert bool((losses[1].abs() > 1e-4).any())


def test_the_victim_becomes_a_one_step_generator(
    victim: Small, trained: Callable[..., Any], changed: Callable[..., set[str]], prompts: PromptBatch
) -> None:
    """Only its UNet changes, and the mark that it draws in one step; the picture is what the network gives there."""
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    trained(FEW, victim)
    moved = changed(victim, before)
    assert "one_step_from" in moved
    assert int(victim.one_step_from) == FEW.start
    assert all(name.startswith("unet.") for name in moved - {"one_step_from"})
    assert all(weight.requires_grad for weight in victim.parameters())
    with torch.no_grad():
        timestep = torch.full((len(prompts),), FEW.start)
        noise = (1 - victim.alpha_at(timestep)).sqrt() * victim.latent_noise(prompts.seed)
        clean = clean_estimate(
            victim, noise, timestep, victim.predict_noise(noise, timestep, victim.hidden(prompts))
        )
        assert torch.allclose(victim(prompts).image, victim.to_image(clean), atol=1e-5)


def test_the_same_seed_gives_the_same_weights(victim: Small, trained: Callable[..., Any]) -> None:
    """Captions, noise and timesteps belong to the training's seed."""
    import copy

    models = [copy.deepcopy(victim) for _ in range(2)]
    for model in models:
        trained(FEW, model)
    pairs = zip(*(model.state_dict().values() for model in models), strict=True)
    assert all(torch.equal(one, same) for one, same in pairs)


def test_a_fixed_safe_caption(victim: Small, training: TrainingOnly) -> None:
    """With `safe` every row of the concept is matched to that caption."""
    module: Any = Sfd(safe="a square", batch_size=4).robustify(victim, training, Seed(0))
    with torch.no_grad():
        assert torch.allclose(module._safe(Seed(3)), victim.encode_text(("a square",) * 4), atol=1e-6)
