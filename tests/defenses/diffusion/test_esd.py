"""ESD on the UNet and on the text encoder."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from robeval.domains.diffusion.victims.small import Small
from robeval.plugins.data import TrainingOnly
from robeval.plugins.victim import RobustTraining
from robeval.seeding import Seed
from robeval_defenses.diffusion.erasing import Erasing
from robeval_defenses.diffusion.esd import Esd
from robeval_defenses.diffusion.parts import Part, trained_parameters

FEW: dict[str, Any] = {"steps": 3, "batch_size": 4, "trajectories": 4, "learning_rate": 1e-3}


@pytest.mark.parametrize("part", ["unet-x", "unet-x-strict", "unet-u", "text-encoder"])
def test_only_the_named_weights_change(
    victim: Small, trained: Callable[..., Any], changed: Callable[..., set[str]], part: Part
) -> None:
    """What is not in the part stays bit for bit; afterwards all weights can be trained as before."""
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    trained(Esd(part=part, retain=0.5, **FEW), victim)
    moved = changed(victim, before)
    assert moved
    assert moved <= set(trained_parameters(victim, part))
    assert all(weight.requires_grad for weight in victim.parameters())


def test_the_first_loss_is_the_distance_to_the_target(victim: Small, training: TrainingOnly) -> None:
    """Before the first step the model is the original: the loss is (1 + strength)² |e(empty) - e(caption)|²."""
    module = _objective(Esd(strength=0.5, **FEW), victim, training).__self__
    draw = Seed(0).child("step", 0).draws([str(row) for row in range(4)])
    path = module.concept_bank.paths(draw)
    points = module.concept_bank.at(path, module.concept_bank.steps(draw))
    apart = (points.without - points.with_text).square().flatten(1).mean(dim=1)
    loss = module.objective(training.split("train"))
    assert torch.allclose(loss, 1.5**2 * apart, rtol=1e-3)


def test_retained_captions_cost_nothing_before_the_first_step(victim: Small, training: TrainingOnly) -> None:
    """The original agrees with itself, whatever the weight."""
    batch = training.split("train")
    losses = [_objective(Esd(retain=weight, **FEW), victim, training)(batch) for weight in (0.0, 100.0)]
    assert torch.allclose(*losses, rtol=1e-3)


def test_training_lowers_the_loss_and_retaining_keeps_the_rest(
    victim: Small, trained: Callable[..., Any], training: TrainingOnly
) -> None:
    """The concept's noise gets nearer to its target; with `retain` the others' stays nearer to the original's."""
    options = {**FEW, "steps": 12, "part": "unet", "learning_rate": 1e-3}
    start = Esd(**options).robustify(victim, training, Seed(0))
    before = _errors(start, victim)
    drifts = {}
    for retain in (0.0, 3.0):
        model = _copy(victim)
        module = trained(Esd(retain=retain, **options), model)
        erased, drift = _errors(module, model)
        assert erased < 0.9 * before[0], retain
        drifts[retain] = drift
    assert drifts[3.0] < drifts[0.0]


def _objective(defense: Esd, victim: Small, training: TrainingOnly) -> Any:
    """The objective of a training that has not begun."""
    module = defense.robustify(victim, training, Seed(0))
    assert isinstance(module, Erasing)
    return module.objective


def _errors(module: Any, model: Small) -> tuple[float, float]:
    """Mean squared distance from the target for the concept, and from the original for others, over all points."""
    found = []
    with torch.no_grad():
        for bank, erases in ((module.concept_bank, True), (module.other_bank, False)):
            path = torch.arange(len(bank.tokens)).repeat_interleave(len(bank.timestep))
            points = bank.at(path, torch.arange(len(bank.timestep)).repeat(len(bank.tokens)))
            noise = model.predict_noise(
                points.latents, points.timestep, model.encode(model.embed(points.tokens))
            )
            wanted = points.erased(1.0) if erases else points.with_text
            found.append(float((noise - wanted).square().mean()))
    return found[0], found[1]


def _copy(victim: Small) -> Small:
    import copy

    return copy.deepcopy(victim)


def test_the_same_seed_gives_the_same_weights(victim: Small, trained: Callable[..., Any]) -> None:
    """And another seed others."""
    models = [_copy(victim) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        trained(Esd(**FEW), model, seed)
    one, same, other = ([*trained_parameters(model, "unet-x").values()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_goes_on_from_the_trained_model() -> None:
    """The base model is trained once for all erasers."""
    assert Esd.warm_start
    assert Esd().part == "unet-x"


def test_the_saved_victim_holds_no_helpers(victim: Small, training: TrainingOnly) -> None:
    """The frozen original is part of the training, not of the victim."""
    before = set(victim.state_dict())
    module = Esd(**FEW).robustify(victim, training, Seed(0))
    assert isinstance(module, RobustTraining)
    assert set(module.victim.state_dict()) == before
