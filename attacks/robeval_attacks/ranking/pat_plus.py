"""PAT with a search that uses what it has: the passage, the gradient, and the victim's own answer."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from robeval.domains.ranking.batch import RankingBatch
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.anchored import Plan, anchors_of, asked_lists, search
from robeval_attacks.ranking.delivery import deliver
from robeval_attacks.ranking.fluent import Proposals, Taste
from robeval_attacks.ranking.knowledge import Searching
from robeval_attacks.ranking.words import Forbid


@dataclass(frozen=True)
class PATPlus(Searching):
    """PAT's search, with triggers read in their passages and tokens proposed by language model and gradient.

    Of the best triggers the victim ranks `tries`, so a filter in front of it is felt. With `forbid=query` no trigger
    holds a word of the query.

    Source: this project, on the ground of arXiv:2209.06506.
    Differs: see `pat`; half of the candidates are the tokens with the largest first-order gain in score, in place of
    the inert bending of the language model; a trigger is scored where it will stand, and by how surely it beats the
    anchor, which does not flatten out as log P(relevant) does; fluency counts less; the best grown triggers are gone
    over again, token by token.
    """

    threat = ThreatModel(
        access="rank",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )
    counts = "length"

    tries: Annotated[
        int, Field(ge=1, description="texts per target that the victim is asked to rank; the best one counts")
    ] = 5
    length: Annotated[int, Field(ge=1, description="tokens of a trigger; the budget may allow fewer")] = 32
    beams: Annotated[int, Field(ge=1, description="triggers under way")] = 5
    candidates: Annotated[int, Field(ge=2, description="next tokens tried for each of them")] = 24
    proposals: Annotated[
        Proposals, Field(description="next tokens by language model, by gradient, or half of them by either")
    ] = "both"
    relevance: Annotated[float, Field(gt=0, description="weight of the trigger beating the anchor")] = 4.0
    fluency: Annotated[float, Field(ge=0, description="weight of the trigger's log-probability")] = 0.02
    coherence: Annotated[
        float, Field(ge=0, description="weight of the trigger being the passage's next sentence")
    ] = 0.1
    bonus: Annotated[float, Field(ge=0, description="reward for the anchor's words and similar ones")] = 0.0
    similar_words: Annotated[int, Field(ge=0, description="how many best single words are rewarded")] = 300
    anchors: Annotated[int, Field(ge=1, description="passages at the list's top that make the anchor")] = 3
    gradient_steps: Annotated[
        int, Field(ge=0, description="Adam steps that bend the language model towards beating the anchor")
    ] = 0
    gradient_step: Annotated[float, Field(gt=0, description="size of such a step")] = 1.0
    sweeps: Annotated[
        int, Field(ge=0, description="times over all positions of a grown trigger, exchanging tokens")
    ] = 2
    in_context: Annotated[bool, Field(description="score triggers in their passages, not alone")] = True
    where: Annotated[Literal["front", "middle", "end"], Field(description="where the trigger is put")] = (
        "front"
    )
    forbid: Annotated[
        Forbid,
        Field(
            description="words that no trigger may hold: the query's, with their inflections, the anchor's"
        ),
    ] = "none"
    select: Annotated[
        Literal["ranker", "full"],
        Field(description="compare finished triggers by score alone or by the whole sum"),
    ] = "ranker"
    next_form: Annotated[
        Literal["minus_not_next", "plus_next"],
        Field(description="coherence: less log P(not next), as published, or log P(next), which is bounded"),
    ] = "plus_next"
    next_order: Annotated[
        Literal["passage_first", "as_inserted"],
        Field(description="what comes first for coherence: the passage, as published, or the trigger"),
    ] = "as_inserted"

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with their triggers in place."""
        steps = min(self.length, int(budget))
        if steps < 1:
            return batch
        ranker = self.ranker(view)
        anchors = anchors_of(batch, asked_lists(view, batch), self.anchors)
        found = search(view, self.surrogate == "victim", batch, ranker, anchors, self._plan(), steps)
        view.trace(found.trace)
        made = deliver(view, batch, found, ranker.tokenizer(batch.corpus), budget, self.where, self.tries)
        return self.measured(view, ranker, batch, made)

    def _plan(self) -> Plan:
        taste = Taste(
            candidates=self.candidates,
            relevance=self.relevance,
            pairwise=True,
            fluency=self.fluency,
            coherence=self.coherence,
            gradient_steps=self.gradient_steps,
            gradient_step=self.gradient_step,
            proposals=self.proposals,
            next_form=self.next_form,
            next_order=self.next_order,
        )
        return Plan(
            taste,
            self.beams,
            self.anchors,
            self.bonus,
            self.similar_words,
            self.forbid,
            self.in_context,
            self.where,
            self.select == "full",
            self.sweeps,
        )
