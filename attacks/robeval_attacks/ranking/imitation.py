"""Imitation alone: how well can the victim be copied from its ranked lists?"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.agreement import overlap_at, rbo
from robeval.domains.ranking.batch import RankingBatch, ranked_lists
from robeval.domains.ranking.metrics import quality
from robeval.domains.ranking.ranker import Ranker
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.anchored import asked_lists
from robeval_attacks.ranking.surrogate import Imitate, Imitated, Start

TOP = 10


@dataclass(frozen=True)
class Imitation(Attack[RankingBatch]):
    """Stage one alone: train a ranker on the victim's lists and say how much the two agree; nothing is perturbed.

    Every target's list is asked for once more and compared with the imitation's own: overlap of the first ten, RBO,
    pairwise agreement in the target zone, nDCG and MRR of the imitation's list; see `agreement`.

    Source: Liu et al., arXiv:2209.06506, section on ranking imitation.
    Differs: see `surrogate.Imitate`.
    """

    threat = ThreatModel(
        access="rank", budget=Budget("tokens", "tokens", 0.0, "nothing is changed"), goal="copy the victim"
    )
    perturbs = False

    queries: Annotated[int, Field(ge=0, description="ranked lists that the victim is asked for")] = (
        Imitate.lists
    )
    steps: Annotated[int, Field(ge=1, description="training steps on them")] = Imitate.steps
    start: Annotated[
        Start,
        Field(
            description="begin with a ranker trained on the first stage's lists, or with the plain encoder"
        ),
    ] = Imitate.start

    @property
    def preparation(self) -> Imitate:
        """The imitation."""
        return Imitate(lists=self.queries, steps=self.steps, start=self.start)

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The examples as they are; the agreement is noted."""
        assert isinstance(view.prepared, Imitated)
        for name, values in agreement(view, view.prepared.ranker, batch).items():
            view.measure(name, batch, values)
        return batch


def agreement(view: View[RankingBatch], imitation: Ranker, batch: RankingBatch) -> dict[str, Tensor]:
    """How much an imitation agrees with the victim on the lists of these targets, one question each: [batch] each.

    ``overlap@10`` and ``rbo`` (p = 0.7, extended) of the two lists; ``zone``: the share of pairs of a passage of the
    victim's first ten and one of its lower half that the imitation orders alike; ``nDCG@10`` and ``RR@10`` of the
    imitation's list by the query's judgements.
    """
    theirs = asked_lists(view, batch)
    with torch.no_grad():
        answer = imitation(batch)
    mine = ranked_lists(answer).order
    return {
        "overlap@10": overlap_at(mine, theirs, TOP),
        "rbo": rbo(mine, theirs),
        "zone": _zone(mine, theirs),
        **quality(batch, answer),
    }


def _zone(mine: Tensor, theirs: Tensor) -> Tensor:
    """Of pairs (first ten, lower half) of the second list, the share that stands in the same order in the first."""
    half = (theirs != -1).sum(dim=1, keepdim=True) // 2
    place = torch.arange(theirs.shape[1], device=theirs.device)
    head = (place < TOP) & (theirs != -1)
    tail = (place >= half) & (place >= TOP) & (theirs != -1)
    where = (theirs.unsqueeze(2) == mine.unsqueeze(1)).int().argmax(dim=2)
    pairs = head.unsqueeze(2) & tail.unsqueeze(1)
    agree = (where.unsqueeze(2) < where.unsqueeze(1)) & pairs
    return agree.sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp_min(1)
