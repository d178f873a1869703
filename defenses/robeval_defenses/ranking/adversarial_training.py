"""Adversarial training on word vectors."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.ranking.training import RankTraining, Read, in_ball, pairs, read


@dataclass(frozen=True)
class AdversarialTraining(Defense):
    """Go on training on passages and on the same passages with their word vectors moved for the worst.

    The objective is loss(E) + max loss(E + d) with |d_i| <= radius |e_i| for every passage token i; one step of the
    inner attack is FGSM, more are projected gradient steps from a random start.

    Source: Miyato et al., arXiv:1605.07725, and Madry et al., arXiv:1706.06083, on a ranker's passage tokens.
    Differs: starts from the trained victim: from scratch it never learns to rank. It does not stop inserted triggers
    and can make them stronger; it stands here as the published baseline.
    """

    warm_start: ClassVar[bool] = True

    radius: Annotated[
        float, Field(gt=0, description="largest shift of a word vector, as a share of its length")
    ] = 0.1
    inner_steps: Annotated[int, Field(ge=1, le=20, description="gradient steps of the attack inside")] = 1
    steps: Annotated[int, Field(ge=1, description="training steps after the warm start")] = 60

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under the adversarial objective."""
        return ShiftedTraining(victim, seed, self)


class ShiftedTraining(RankTraining):
    """The victim's pairwise loss on clean and on shifted word vectors."""

    def __init__(self, victim: Victim, seed: Seed, options: AdversarialTraining) -> None:
        super().__init__(victim, seed, options.steps)
        self.options = options

    def row_loss(self, batch: RankingBatch, draw: Draws) -> Float[Tensor, " batch"]:
        """Both losses of every pair."""
        drawn = pairs(batch, draw.fork("pairs"))
        both = read(self.ranker, batch, drawn.query.repeat(2), [*drawn.better, *drawn.worse])
        shift = self.worst_shift(both, draw.fork("start"))
        clean, shifted = (self.ranked(self.margin(both, by)) for by in (torch.zeros_like(shift), shift))
        return (clean + shifted) * drawn.counts

    def margin(self, both: Read, shift: Float[Tensor, "rows length hidden"]) -> Float[Tensor, " pairs"]:
        """Score of the first half of the rows less that of the second half, under a shift of the vectors."""
        scores = self.ranker.relevance_from_embeddings(both.query, both.vectors + shift, both.mask)
        better, worse = scores.chunk(2)
        return better - worse

    def worst_shift(self, both: Read, draw: Draws) -> Float[Tensor, "rows length hidden"]:
        """The shift within the ball that raises the loss most; no gradient flows through it."""
        fixed = both._replace(vectors=both.vectors.detach())
        count, radius = self.options.inner_steps, self.options.radius
        shift = torch.zeros_like(fixed.vectors)
        if count > 1:
            start = draw.repeat(2).normal(*shift.shape[1:]).to(shift)
            shift = in_ball(start, fixed.vectors, fixed.mask, radius)
        size = radius * fixed.vectors.norm(dim=-1, keepdim=True) * (1.0 if count == 1 else 2.5 / count)
        for _ in range(count):
            shift.requires_grad_()
            loss = self.ranked(self.margin(fixed, shift)).sum()
            (slope,) = torch.autograd.grad(loss, shift)
            step = slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            shift = in_ball((shift + size * step).detach(), fixed.vectors, fixed.mask, radius)
        return shift
