"""PAT: imitate the ranker, then grow fluent triggers that beat an anchor."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.text import FRONT
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.anchored import Plan, anchors_of, asked_lists, search
from robeval_attacks.ranking.delivery import deliver
from robeval_attacks.ranking.fluent import Taste
from robeval_attacks.ranking.knowledge import Searching


@dataclass(frozen=True)
class PAT(Searching):
    """Grow a trigger word by word: a language model proposes, an imitation of the victim and coherence choose.

    The ranker reads the trigger alone, as published, and the trigger is put in front of the passage. Its gradient
    stage hardly changes anything at the published step size (`gradient_step=1` does); use `pat-plus` to
    claim robustness.

    Source: Liu et al., "Order-Disorder: Imitation Adversarial Attacks for Black-box Neural Ranking Models",
    arXiv:2209.06506; weights as in the authors' command line.
    Differs: smaller beams and fewer candidates (theirs: 10 and 128); a trigger that does not decode and encode to
    itself is not delivered; ranks count ties against the target; the next-sentence model reads its own embeddings;
    the language and next-sentence models are trained on the passages and share the ranker's vocabulary; the
    repetition penalty acts on log-probabilities.
    """

    threat = ThreatModel(
        access="rank",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )
    counts = "length"

    length: Annotated[int, Field(ge=1, description="tokens of a trigger; the budget may allow fewer")] = 32
    beams: Annotated[int, Field(ge=1, description="triggers under way")] = 5
    candidates: Annotated[int, Field(ge=1, description="next tokens tried for each of them")] = 48
    fluency: Annotated[float, Field(ge=0, description="weight of the trigger's log-probability")] = 0.6
    coherence: Annotated[
        float, Field(ge=0, description="weight of the trigger being the passage's next sentence")
    ] = 0.1
    bonus: Annotated[float, Field(ge=0, description="reward for the anchor's words and similar ones")] = 0.68
    similar_words: Annotated[int, Field(ge=0, description="how many best single words are rewarded")] = 300
    anchors: Annotated[int, Field(ge=1, description="passages at the list's top that make the anchor")] = 3
    gradient_steps: Annotated[
        int, Field(ge=0, description="Adam steps that bend the language model towards beating the anchor")
    ] = 5
    gradient_step: Annotated[float, Field(gt=0, description="size of such a step")] = 1e-3

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with their triggers in front."""
        steps = min(self.length, int(budget))
        if steps < 1:
            return batch
        ranker = self.ranker(view)
        anchors = anchors_of(batch, asked_lists(view, batch), self.anchors)
        taste = Taste(
            candidates=self.candidates,
            fluency=self.fluency,
            coherence=self.coherence,
            gradient_steps=self.gradient_steps,
            gradient_step=self.gradient_step,
        )
        plan = Plan(taste, self.beams, self.anchors, self.bonus, self.similar_words)
        found = search(view, self.surrogate == "victim", batch, ranker, anchors, plan, steps)
        view.trace(found.trace)
        made = deliver(view, batch, found, ranker.tokenizer(batch.corpus), budget, FRONT, self.tries)
        return self.measured(view, ranker, batch, made)
