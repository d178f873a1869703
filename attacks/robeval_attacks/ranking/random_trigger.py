"""Random words: the row that every trigger has to beat."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.tokens import corpus_tokenizer
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.beams import Found
from robeval_attacks.ranking.delivery import deliver


@dataclass(frozen=True)
class RandomTrigger(Attack[RankingBatch]):
    """Words drawn from the passages' vocabulary, as many as the budget allows.

    Any inserted word moves the rank of some passages: an attack's rank improvement means what it adds to this row.

    Source: a baseline; §"random words" rows of the literature on ranking attacks.
    """

    threat = ThreatModel(
        access="none",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )

    length: Annotated[int, Field(ge=1, description="words of a trigger; the budget may allow fewer")] = 32
    where: Annotated[Literal["front", "middle", "end"], Field(description="where the trigger is put")] = (
        "front"
    )

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with random words in place."""
        tokenizer = corpus_tokenizer(batch.corpus)
        words = tokenizer.is_word.nonzero().squeeze(1)
        steps = min(self.length, int(budget))
        if steps < 1 or not len(words):
            return batch
        chosen = words[draw.integers(len(words), steps).cpu()].unsqueeze(1)
        one = torch.ones(len(batch), 1)
        found = Found(chosen, one.long() * steps, one * 0, torch.zeros(0))
        return deliver(view, batch, found, tokenizer, budget, self.where, tries=1)
