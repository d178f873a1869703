"""The figures of the diffusion domain."""

import math

import pytest
import torch

from robeval.domains.diffusion.batch import Drawn, NoiseFound, PromptBatch
from robeval.domains.diffusion.domain import Diffusion
from robeval.domains.diffusion.judging import judge_of
from robeval.domains.diffusion.metrics import everything_right, kid_shares
from robeval.domains.diffusion.victims.small import Small
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import make_plan
from robeval.errors import AccessError
from robeval.plugins.contracts import Trial
from robeval.plugins.discovery import built_in
from robeval.seeding import Seed


def judged(
    victim: Small, prompts: PromptBatch, before: torch.Tensor, after: torch.Tensor
) -> Trial[PromptBatch]:
    """A trial whose victim drew these pictures."""
    return Trial(victim, prompts, prompts, Drawn(before), Drawn(after))


def test_an_untouched_success_counts_as_returned_but_not_as_success(
    untrained: Small, prompts: PromptBatch
) -> None:
    """Concept in the clean picture only: returned, not shown, and no attack success to be had."""
    square = prompts.image[~prompts.targeted][0]
    clean = prompts.image.clone()
    clean[1] = square
    after = clean.clone()
    after[0] = square
    after[1] = prompts.image[0]
    found = Diffusion().score(judged(untrained, prompts, clean, after))
    assert found["returned"][:4].tolist() == [1, 1, 1, 1]
    assert found["shown"][:4].tolist() == [0, 1, 1, 1]
    assert math.isnan(found["added"][0])
    assert found["added"][1] == 1
    assert found["success"].tolist() == [0, 1] + [0] * 8
    assert found["returned"][4:].isnan().all()


def test_utility_is_what_retained_prompts_show(untrained: Small, prompts: PromptBatch) -> None:
    """Right pictures give 1, a wrong shape 0 in utility and in its own head only; targeted prompts have none."""
    after = prompts.image.clone()
    after[4] = prompts.image[0]
    found = Diffusion().score(judged(untrained, prompts, prompts.image, after))
    assert found["utility"][4:].tolist() == [0, 1, 1, 1, 1, 1]
    assert found["utility_first"][4] == 0
    assert found["utility"][:4].isnan().all()
    assert found["clip_score"].isnan().all()


def kid(trial: Trial[PromptBatch]) -> torch.Tensor:
    """Every example's share."""
    return Diffusion().settle("kid", Diffusion().score(trial)["kid"])


def test_kid_is_torchmetrics_kid(untrained: Small, prompts: PromptBatch) -> None:
    """The mean of the shares is the KID of the whole set; the world's own pictures are nearer than noise."""
    from torchmetrics.image.kid import KernelInceptionDistance

    noise = Seed(0).draws(prompts.ids).uniform(3, 32, 32)
    kept = ~prompts.targeted
    judge = judge_of(prompts)
    features = [judge.features(image[kept]) for image in (noise, prompts.image)]
    metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=int(kept.sum()))
    metric.update(features[1], real=True)
    metric.update(features[0], real=False)
    found = kid(judged(untrained, prompts, prompts.image, noise))
    assert found[~kept].isnan().all()
    assert float(found[kept].mean()) == pytest.approx(float(metric.compute()[0]), rel=1e-3)
    own = kid(judged(untrained, prompts, prompts.image, prompts.image))
    assert float(own[kept].mean()) < float(found[kept].mean()) < 100
    assert kid_shares(features[0][:1], features[1][:1]).isnan().all()


def test_without_true_pictures_there_is_no_kid(untrained: Small, prompts: PromptBatch) -> None:
    """Prompts from a file have no reference pictures: the KID does not apply."""
    blind = prompts.replace(image=torch.full_like(prompts.image, torch.nan))
    assert kid(judged(untrained, blind, prompts.image, prompts.image)).isnan().all()


def test_garbage_is_broken(untrained: Small, prompts: PromptBatch) -> None:
    """Pictures of NaN are broken and show nothing; the world's own are not."""
    after = prompts.image.clone()
    after[0] = torch.nan
    after[5] = torch.nan
    found = Diffusion().score(judged(untrained, prompts, prompts.image, after))
    assert found["broken"].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert found["shown"][0] == 0
    assert found["utility"][5] == 0


def test_every_metric_has_a_column(untrained: Small, prompts: PromptBatch) -> None:
    """Each metric's column has one value per example, or a row that is settled to one."""
    found = Diffusion().score(judged(untrained, prompts, prompts.image, prompts.image))
    for metric in Diffusion.metrics:
        value = found[metric.column]
        settled = Diffusion().settle(metric.column, value) if value.dim() == 2 else value
        assert settled.shape == (len(prompts),)


def test_what_is_not_said_is_not_judged() -> None:
    """Heads that the caption says nothing about are left out; without any the value does not apply."""
    nan = math.nan
    right = torch.tensor([[1.0, nan, 1.0], [1.0, 0.0, nan], [nan, nan, nan]], dtype=torch.double)
    found = everything_right(right)
    assert found[:2].tolist() == [1, 0]
    assert found[2].isnan()


def test_only_pictures_are_revealed(prompts: PromptBatch) -> None:
    """Score access gets pictures; a look into the network or a rank is refused."""
    domain = Diffusion()
    drawn = Drawn(prompts.image)
    assert domain.reveal(drawn, "score") is drawn
    with pytest.raises(AccessError, match="NoiseFound"):
        domain.reveal(NoiseFound(prompts.image), "score")
    with pytest.raises(AccessError, match="rank"):
        domain.reveal(drawn, "rank")


def test_groups_name_the_neighbours(prompts: PromptBatch) -> None:
    """Targeted prompts are grouped under the concept, the others under the shape that they ask for."""
    groups = Diffusion().groups(prompts)
    assert groups[:4] == ["circle"] * 4
    assert set(groups[4:]) <= {"square", "triangle", "cross"}


def test_the_picture_shows_three_panels_an_example(untrained: Small, prompts: PromptBatch) -> None:
    """Reference, erased and attacked stand side by side with their prompts."""
    part = prompts.select(slice(0, 2))
    soft = part.soft.clone()
    soft[0, 0] = 1.0
    attacked = part.with_text(("disc " + part.text[0], part.text[1])).replace(soft=soft)
    trial = Trial(untrained, part, attacked, Drawn(part.image), Drawn(torch.full_like(part.image, torch.nan)))
    figure = Diffusion().picture(trial, "title")
    assert len(figure.axes) == 6
    words = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes]
    assert "disc" in words[2]
    assert "[1 embeddings]" in words[2]
    assert "(shown)" in words[0]
    assert "(shown)" not in words[2]
    assert figure.axes[0].get_title() == "what the caption says"
    figure.savefig("/dev/null", format="png")


def test_beside_a_defense_stands_what_was_drawn_before_it(untrained: Small, prompts: PromptBatch) -> None:
    """Where the victim is defended, the first panel is the undefended one's picture for the same noise."""
    part = prompts.select(slice(0, 1))
    grey = Drawn(torch.full_like(part.image, 0.5))
    figure = Diffusion().picture(Trial(untrained, part, part, grey, grey, original=untrained))
    assert [axes.get_title() for axes in figure.axes] == ["undefended", "defended", "defended, under attack"]
    with torch.no_grad():
        expected = untrained(part).image[0].permute(1, 2, 0).numpy()
    assert (figure.axes[0].images[0].get_array() == expected).all()


def test_defaults_and_profiles_can_be_planned() -> None:
    """Four attacks and four defenses at least by default; the fast profile takes another concept and fewer prompts."""
    usual, fast = (
        make_plan(build_experiment(domain="diffusion", profile=profile), built_in())
        for profile in (None, "fast")
    )
    assert len(usual.experiment.attacks) >= 4
    assert len(usual.experiment.defenses) >= 4
    assert {"none", "random-prefix"} <= {spec.name for spec in usual.experiment.attacks}
    assert fast.experiment.datasets[0].options["concept"] == "red"
    assert len(fast.cells) < len(usual.cells)
    assert not any(cell.refused for cell in (*usual.cells, *fast.cells))
    assert "claims nothing about utility" in fast.note
