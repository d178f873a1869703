"""What a picture is worth: one value per example, from the judge alone. NaN means "does not apply"."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import Judge, is_present, judge_of, presence

SURE = 0.5
"""From this probability on the judge knows what it sees; below it a picture counts as broken."""


class Seen(NamedTuple):
    """What the judge says of the pictures of a batch: [batch] each, and [batch, heads] for `right`."""

    present: Bool[Tensor, " batch"]
    confidence: Float[Tensor, " batch"]
    right: Float[Tensor, "batch heads"]
    """1 where the head's surest class is what the caption says, 0 where not, NaN where it says nothing."""
    broken: Bool[Tensor, " batch"]
    """NaN, or nothing that any head is sure of."""
    features: Float[Tensor, "batch features"]
    """The judge's; of a black picture where there is NaN."""


def seen(batch: PromptBatch, image: Float[Tensor, "batch 3 height width"]) -> Seen:
    """The judge's word on every picture."""
    judge = judge_of(batch)
    fine = image.isfinite().flatten(1).all(dim=1)
    clean = image.nan_to_num()
    heads = judge.by_head(judge(clean))
    surest = torch.stack([head.amax(dim=1) for head in heads], dim=1)
    return Seen(
        present=is_present(batch, image) & fine,
        confidence=presence(batch, image),
        right=agreement(judge, heads, batch, fine),
        broken=~fine | ~(surest >= SURE).any(dim=1),
        features=judge.features(clean),
    )


def agreement(
    judge: Judge, heads: tuple[Tensor, ...], batch: PromptBatch, fine: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch heads"]:
    """Whether each head's surest class is what the caption says: 1, 0, or NaN where it says nothing."""
    found = torch.stack([head.argmax(dim=1) for head in heads], dim=1)
    right = (found == batch.labels) & fine[:, None]
    return torch.where(batch.labels >= 0, right.double(), torch.nan)


def everything_right(right: Float[Tensor, "batch heads"]) -> Float[Tensor, " batch"]:
    """1 where all that the caption says is right, else 0; NaN where it says nothing."""
    says = ~right.isnan()
    all_right = (right.nan_to_num(nan=1.0) == 1).all(dim=1)
    return torch.where(says.any(dim=1), all_right.double(), torch.nan)


def kid_shares(
    found: Float[Tensor, "batch features"], reference: Float[Tensor, "batch features"]
) -> Float[Tensor, " batch"]:
    """What each picture adds to the kernel distance between drawn pictures and the reference; NaN for fewer than two.

    Their mean is the unbiased KID against the references of the same prompts. A picture's share depends on the others,
    and only the mean means something.

    Source: Bińkowski et al., arXiv:1801.01401; kernel as in torchmetrics' KernelInceptionDistance.
    Differs: on the judge's features, since Inception's know nothing of this world.
    """
    from torchmetrics.image.kid import poly_kernel

    count = len(found)
    if count < 2:
        return torch.full((count,), torch.nan, dtype=torch.double, device=found.device)
    drawn, real = found.double(), reference.double()
    across = poly_kernel(drawn, real)
    within = [poly_kernel(features, features) for features in (drawn, real)]
    others = [(kernel.sum(dim=1) - kernel.diagonal()) / (count - 1) for kernel in within]
    return others[0] + others[1] - across.mean(dim=1) - across.mean(dim=0)
