"""Query+: the query itself, put into the passage."""

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Annotated, Literal

import torch
from pydantic import Field

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.text import words_of
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.delivery import choose, fitted


@dataclass(frozen=True)
class QueryStuffing(Attack[RankingBatch]):
    """The query's words in front of the passage, as many as the budget allows; no model and no question.

    Source: "Query+" of the literature (arXiv:2209.06506, IDEM, EMPRA): the strongest simple baseline.
    Differs: cut to the token budget, from the query's end.
    """

    threat = ThreatModel(
        access="none",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )

    copies: Annotated[int, Field(ge=1, description="how often the query is repeated, within the budget")] = 1
    shuffle: Annotated[bool, Field(description="put the words in random order")] = False
    where: Annotated[Literal["front", "middle", "end"], Field(description="where the words are put")] = (
        "front"
    )

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with their queries in place."""
        words = [list(islice(cycle(w), self.copies * len(w))) for w in map(words_of, batch.query_texts())]
        longest = max(map(len, words), default=0)
        if self.shuffle and longest:
            lot = draw.uniform(longest).cpu().tolist()
            words = [
                [word for _, word in sorted(zip(row, chosen, strict=False))]
                for row, chosen in zip(lot, words, strict=True)
            ]
        triggers = [" ".join(row[: int(budget)]) for row in words]  # no word is less than a token
        asked = torch.tensor([bool(trigger) for trigger in triggers], dtype=torch.bool)
        texts, fits = fitted(view, batch, triggers, self.where, budget, asked)
        good = fits.unsqueeze(1)
        view.note("no_trigger", batch, ~good.squeeze(1))
        return choose(view, batch, texts, good, tries=1)
