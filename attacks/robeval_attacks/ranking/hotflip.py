"""HotFlip: the trigger that a ranker's gradient asks for, readable or not."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from robeval.domains.ranking.batch import RankingBatch
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.beams import Found
from robeval_attacks.ranking.delivery import deliver
from robeval_attacks.ranking.flips import flip
from robeval_attacks.ranking.knowledge import Searching
from robeval_attacks.ranking.reader import Reader
from robeval_attacks.ranking.words import banned, first_pieces


@dataclass(frozen=True)
class HotFlip(Searching):
    """Replace random words by the ones with the largest first-order gain, position by position, until nothing helps.

    Every candidate is scored in its passage. No care for fluency: strong, and easy to see.

    Source: Ebrahimi et al., arXiv:1712.06751, as used on rankers by "BERT Rankers are Brittle", arXiv:2206.11724.
    Differs: fewer sweeps and restarts (theirs: 20 and 6), all restarts from random words (theirs: also from the mask
    token, which cannot stand in a text), whole words only, so that the trigger survives as text.
    """

    threat = ThreatModel(
        access="rank",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )
    counts = "sweeps"

    length: Annotated[int, Field(ge=1, description="words of a trigger; the budget may allow fewer")] = 32
    restarts: Annotated[int, Field(ge=1, description="random triggers to start from")] = 1
    sweeps: Annotated[int, Field(ge=1, description="times over all positions, at most")] = 3
    candidates: Annotated[int, Field(ge=1, description="tokens scored exactly per position")] = 16
    where: Annotated[Literal["front", "middle", "end"], Field(description="where the trigger is put")] = (
        "front"
    )
    forbid: Annotated[
        Literal["none", "query", "query+inflections"],
        Field(description="words that no trigger may hold: the query's, with their inflections"),
    ] = "none"

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with their triggers in place."""
        steps = min(self.length, int(budget))
        if steps < 1:
            return batch
        ranker = self.ranker(view)
        tokenizer, device = ranker.tokenizer(batch.corpus), batch.query.device
        usable = first_pieces(tokenizer).to(device) & ~banned(tokenizer, batch, self.forbid).to(device)
        row = torch.arange(len(batch), device=device).repeat_interleave(self.restarts)
        lot = draw.repeat(self.restarts).uniform(steps, tokenizer.size)
        start = lot.masked_fill(~usable[row].unsqueeze(1), -1.0).argmax(dim=2)
        done = flip(
            Reader.of(ranker, batch, self.where),
            row,
            start,
            usable,
            self.candidates,
            self.sweeps,
            lambda vectors, rows: self.watched(view, vectors, batch.select(rows)),
        )
        shape = (len(batch), self.restarts)
        score = done.score.view(shape)
        order = score.argsort(dim=1, descending=True, stable=True)
        trace = done.trace.view(*shape, -1).amax(dim=1).sum(dim=0)
        view.trace(trace)
        ids = done.ids.view(*shape, steps).gather(1, order.unsqueeze(2).expand(-1, -1, steps))
        found = Found(ids, torch.full_like(order, steps), score.gather(1, order), trace)
        made = deliver(view, batch, found, tokenizer, budget, self.where, self.tries)
        return self.measured(view, ranker, batch, made)
