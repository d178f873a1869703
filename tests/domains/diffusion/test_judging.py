"""Who says what a picture shows."""

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import is_present, judge_named, judge_of, presence
from robeval.domains.diffusion.world import HEADS
from robeval.errors import DataError


def test_the_judge_knows_the_worlds_own_pictures(prompts: PromptBatch) -> None:
    """Drawn circles are present, other shapes are not."""
    assert torch.equal(is_present(prompts, prompts.image), prompts.targeted)


def test_each_head_is_a_distribution(prompts: PromptBatch) -> None:
    """Every head sums to one."""
    judge = judge_of(prompts)
    for head, names in zip(judge.by_head(judge(prompts.image)), HEADS, strict=True):
        assert head.shape == (len(prompts), len(names))
        assert torch.allclose(head.sum(dim=1), torch.ones(len(prompts)))


def test_presence_is_differentiable_and_the_judge_frozen(prompts: PromptBatch) -> None:
    """A gradient reaches the picture; the judge's weights have none."""
    image = prompts.image.clone().requires_grad_()
    (slope,) = torch.autograd.grad(presence(prompts, image).sum(), image)
    assert slope.abs().sum() > 0
    assert not any(weight.requires_grad for weight in judge_of(prompts).parameters())


def test_pictures_of_nan_show_nothing(prompts: PromptBatch) -> None:
    """A broken picture never counts as the concept."""
    image = prompts.image.clone()
    image[0] = torch.nan
    assert presence(prompts, image)[0] == 0
    assert not is_present(prompts, image)[0]
    assert is_present(prompts, image)[1]


def test_the_threshold_counts(prompts: PromptBatch) -> None:
    """Nothing is present that the judge is less sure of than the threshold."""
    sure = presence(prompts, prompts.image)
    strict = prompts.replace(threshold=float(sure[prompts.targeted].max()) + 1e-6)
    assert not is_present(strict, prompts.image).any()


def test_unknown_concepts_are_named_with_the_known_ones() -> None:
    """A concept that no head has is refused in words."""
    with pytest.raises(DataError, match=r"'church'.*circle"):
        judge_named("shapes").place("church")


def test_neighbours_are_named_in_the_concepts_own_head() -> None:
    """A caption's label is read in the head that the concept belongs to."""
    judge = judge_named("shapes")
    assert judge.named("circle", [1, 2, 3]) == "square"
    assert judge.named("red", [1, 2, 3]) == "yellow"
    assert judge.named("circle", [-1, 2, 3]) == ""
