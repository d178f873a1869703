"""Perturbation-invariant adversarial training."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

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
from robeval_defenses.ranking.training import RankTraining, Read, in_ball, read, rivals

Distance = Literal["kl", "listnet", "listmle"]


@dataclass(frozen=True)
class Piat(Defense):
    """Go on training with a penalty on how far a ranked list changes when its passages' word vectors are moved.

    The objective is loss(scores) + weight * distance(scores, moved scores) over short lists; passages are moved
    within |d_i| <= radius |e_i| in the direction that raises the distance. Both sides of the distance are trained.

    Source: Liu et al., "Perturbation-Invariant Adversarial Training for Neural Ranking Models", arXiv:2312.10329.
    Differs: moves word vectors (they substitute words found on a surrogate); the natural loss is the victim's own on
    the first two passages of a list; the three distances are taken from the paper's names for them, as the training
    loss is not in the published code. It does not stop inserted triggers.
    """

    warm_start: ClassVar[bool] = True

    weight: Annotated[float, Field(ge=0, description="weight of the distance")] = 1.0
    distance: Annotated[
        Distance,
        Field(description="KL of softmaxed scores, ListNet's cross entropy, or ListMLE of the clean order"),
    ] = "kl"
    radius: Annotated[
        float, Field(gt=0, description="largest shift of a word vector, as a share of its length")
    ] = 0.1
    inner_steps: Annotated[int, Field(ge=1, le=20, description="gradient steps of the attack inside")] = 1
    passages: Annotated[int, Field(ge=2, le=100, description="passages of a list")] = 4
    lists: Annotated[int, Field(ge=1, description="lists of a training step")] = 16
    steps: Annotated[int, Field(ge=1, description="training steps after the warm start")] = 60

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under the list-wise objective."""
        return InvariantTraining(victim, seed, self)


class InvariantTraining(RankTraining):
    """The victim's loss and the distance between clean and moved lists."""

    def __init__(self, victim: Victim, seed: Seed, options: Piat) -> None:
        super().__init__(victim, seed, options.steps)
        self.train_batch_size = options.lists
        self.options = options

    def row_loss(self, batch: RankingBatch, draw: Draws) -> Float[Tensor, " batch"]:
        """The objective of every list."""
        listed, sign = self.lists(batch, draw.fork("lists"))
        shift = self.worst_shift(listed, len(batch), draw.fork("start"))
        clean = self.scores(listed, len(batch))
        moved = self.scores(listed._replace(vectors=listed.vectors + shift), len(batch))
        natural = self.ranked(sign * (clean[:, 0] - clean[:, 1])) * sign.abs()
        return natural + self.options.weight * apart(clean, moved, self.options.distance)

    def lists(self, batch: RankingBatch, draw: Draws) -> tuple[Read, Float[Tensor, " batch"]]:
        """The target, a rival of another grade and further candidates of each example, list by list; see `rivals`."""
        rival, sign = rivals(batch, draw)
        rest = batch.others & (batch.candidates != rival.unsqueeze(1))
        lots = draw.uniform(batch.candidates.shape[1]).masked_fill(~rest, -1.0)
        place = lots.topk(min(self.options.passages - 2, lots.shape[1]), dim=1).indices
        # Where a list is too short the target stands in again: its distance counts twice, no order is invented.
        more = torch.where(rest.gather(1, place), batch.candidates.gather(1, place), -1)
        texts = [
            [own, *(batch.corpus.passages[n] if n >= 0 else own for n in others)]
            for own, others in zip(
                batch.texts(), torch.cat([rival.unsqueeze(1), more], dim=1).tolist(), strict=True
            )
        ]
        query = batch.query.repeat_interleave(len(texts[0]))
        return read(self.ranker, batch, query, [text for row in texts for text in row]), sign

    def scores(self, listed: Read, lists: int) -> Float[Tensor, "lists passages"]:
        """The scores of the lists' passages."""
        return self.ranker.relevance_from_embeddings(listed.query, listed.vectors, listed.mask).view(
            lists, -1
        )

    def worst_shift(self, listed: Read, lists: int, draw: Draws) -> Float[Tensor, "rows length hidden"]:
        """The shift within the ball that raises the distance most; no gradient flows through it."""
        fixed = listed._replace(vectors=listed.vectors.detach())
        options = self.options
        with torch.no_grad():
            clean = self.scores(fixed, lists)
        copies = draw.repeat(len(fixed.vectors) // lists)
        # At the clean lists the distance is flat: the search starts beside them.
        start = copies.normal(*fixed.vectors.shape[1:]).to(fixed.vectors)
        shift = in_ball(start, fixed.vectors, fixed.mask, options.radius / 2)
        size = options.radius * fixed.vectors.norm(dim=-1, keepdim=True) * 2.5 / options.inner_steps
        for _ in range(options.inner_steps):
            shift.requires_grad_()
            moved = self.scores(fixed._replace(vectors=fixed.vectors + shift), lists)
            (slope,) = torch.autograd.grad(apart(clean, moved, options.distance).sum(), shift)
            step = slope / slope.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            shift = in_ball((shift + size * step).detach(), fixed.vectors, fixed.mask, options.radius)
        return shift


def apart(
    clean: Float[Tensor, "lists passages"], moved: Float[Tensor, "lists passages"], distance: Distance
) -> Float[Tensor, " lists"]:
    """How far the moved scores' list is from the clean one; ``kl`` is 0 for equal scores.

    ``kl``: KL(softmax clean || softmax moved). ``listnet``: the cross entropy of the same two. ``listmle``: minus the
    log-likelihood of the clean order under the moved scores (Plackett-Luce), per passage.
    """
    log_moved = moved.log_softmax(dim=1)
    if distance == "listmle":
        ordered = moved.gather(1, clean.argsort(dim=1, descending=True, stable=True))
        behind = ordered.flip(1).logcumsumexp(dim=1).flip(1)
        return (behind - ordered).mean(dim=1)
    log_clean = clean.log_softmax(dim=1)
    if distance == "listnet":
        return -(log_clean.exp() * log_moved).sum(dim=1)
    return (log_clean.exp() * (log_clean - log_moved)).sum(dim=1)
