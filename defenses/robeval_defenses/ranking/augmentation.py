"""Training on passages that carry a trigger."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytorch_lightning as pl
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.text import inserted
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Seed
from robeval_defenses.ranking.training import RankTraining, pairs
from robeval_defenses.ranking.triggers import TriggerKind, triggers

Kind = Literal["query", "gradient", "both"]
_USED: dict[str, tuple[TriggerKind, ...]] = {
    "query": ("query",),
    "gradient": ("gradient",),
    "both": ("query", "gradient"),
}


@dataclass(frozen=True)
class Augmentation(Defense):
    """Go on training with a trigger in front of the passage that should rank lower, in a share of the pairs.

    Triggers are the query's own words, or words that raise the current victim's score most to first order.

    Source: discrete adversarial training as in the mitigation of arXiv:2209.06506; share and mixture as measured for
    this project.
    Differs: the defender's own first-order triggers take the place of the attack's, which a defender does not have.
    """

    warm_start: ClassVar[bool] = True

    share: Annotated[float, Field(ge=0, le=1, description="share of the pairs that carry a trigger")] = 0.35
    trigger: Annotated[Kind, Field(description="query words, first-order words, or both in equal parts")] = (
        "both"
    )
    steps: Annotated[int, Field(ge=1, description="training steps after the warm start")] = 60

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under its own loss on pairs, a share of them with triggers."""
        return TriggeredTraining(victim, seed, self)


class TriggeredTraining(RankTraining):
    """The victim's pairwise loss; some of the worse passages carry a trigger."""

    def __init__(self, victim: Victim, seed: Seed, options: Augmentation) -> None:
        super().__init__(victim, seed, options.steps)
        self.options = options

    def row_loss(self, batch: RankingBatch, draw: Draws) -> Float[Tensor, " batch"]:
        """The loss of every pair."""
        drawn = pairs(batch, draw.fork("pairs"))
        worse = self.triggered(batch, drawn.worse, draw.fork("triggers"))
        corpus, query = batch.corpus, drawn.query
        margin = self.ranker.text_scores(corpus, query, drawn.better) - self.ranker.text_scores(
            corpus, query, worse
        )
        return self.ranked(margin) * drawn.counts

    def triggered(self, batch: RankingBatch, texts: list[str], draw: Draws) -> list[str]:
        """The texts, each with a trigger in front with probability `share`."""
        kinds = _USED[self.options.trigger]
        carries, which = draw.coin(self.options.share), draw.integers(len(kinds))
        for number, kind in enumerate(kinds):
            rows = (carries & (which == number)).nonzero().squeeze(1)
            if not len(rows):
                continue
            chosen = [texts[row] for row in rows.tolist()]
            made = triggers(kind, self.ranker, batch, batch.query[rows], chosen, draw.fork(kind).select(rows))
            for row, text in zip(rows.tolist(), inserted(chosen, made, "front"), strict=True):
                texts = [*texts[:row], text, *texts[row + 1 :]]
        return texts
