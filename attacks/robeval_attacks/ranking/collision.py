"""Semantic collisions: text that means something else to people and the query to the ranker."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.language import language_model
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import FRONT
from robeval.domains.ranking.tokens import Tokens
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.anchored import anchors_of, asked_lists
from robeval_attacks.ranking.beams import Found, grow
from robeval_attacks.ranking.delivery import deliver
from robeval_attacks.ranking.fluent import Fluent, Taste
from robeval_attacks.ranking.knowledge import Searching
from robeval_attacks.ranking.reader import Reader
from robeval_attacks.ranking.soft_search import aggressive
from robeval_attacks.ranking.words import banned, best_words, first_pieces, pieces_in, single_word_scores


@dataclass(frozen=True)
class Collision(Searching):
    """A collision scores high for the query without any of its words; it is put in front of the passage.

    `natural` grows it with a language model, `aggressive` optimises soft tokens and makes them hard one by one.
    Forbidden are the query's words, their inflections and words that begin alike, the best single words, the words of
    the best passage.

    Source: Song, Rush, Shmatikov, "Adversarial Semantic Collisions", arXiv:2011.04743 (retrieval settings).
    Differs: as long as the token budget (theirs: 30 and 35 tokens), fewer rounds, beams and candidates; the best
    single words are a share of the vocabulary (theirs: 1000 of 30 522); the regularised kind is left out.
    """

    threat = ThreatModel(
        access="rank",
        budget=Budget("tokens", "tokens", 6.0, "tokens put into the passage, by the victim's tokenizer"),
        constraints=("insertion_only",),
        goal="raise the target passage's rank",
    )
    counts = "length"

    kind: Annotated[
        Literal["natural", "aggressive"], Field(description="fluent by a language model, or as it comes")
    ] = "natural"
    length: Annotated[int, Field(ge=1, description="words of a collision; the budget may allow fewer")] = 32
    beams: Annotated[int, Field(ge=1, description="collisions under way")] = 5
    candidates: Annotated[int, Field(ge=1, description="next tokens tried for each of them")] = 40
    fluency: Annotated[
        float, Field(ge=0, le=1, description="share of the language model in the natural kind's sum")
    ] = 0.02
    gradient_steps: Annotated[
        int, Field(ge=0, description="Adam steps on soft tokens: per token (natural), per round (aggressive)")
    ] = 5
    rounds: Annotated[int, Field(ge=1, description="times that the aggressive kind starts again")] = 2
    best_words: Annotated[
        float,
        Field(ge=0, le=1, description="share of the vocabulary that is forbidden for scoring best alone"),
    ] = 0.033

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with their collisions in front."""
        steps = min(self.length, int(budget))
        if steps < 1:
            return batch
        ranker = self.ranker(view)
        tokenizer = ranker.tokenizer(batch.corpus)
        best = anchors_of(batch, asked_lists(view, batch), 1)
        usable = self._usable(ranker, batch, best)
        with torch.no_grad():
            query = ranker.query_tokens(batch.corpus, batch.query)
            rival = ranker.token_scores(query, ranker.text_tokens(batch.corpus, best)).float()
        found = self._searched(view, batch, ranker, rival, usable, steps)
        view.trace(found.trace)
        made = deliver(view, batch, found, tokenizer, budget, FRONT, self.tries)
        return self.measured(view, ranker, batch, made)

    def _usable(
        self, ranker: NeuralRanker, batch: RankingBatch, best: list[str]
    ) -> Bool[Tensor, "batch vocabulary"]:
        tokenizer, device = ranker.tokenizer(batch.corpus), batch.query.device
        words = first_pieces(tokenizer)
        forbidden = banned(tokenizer, batch, "query+inflections") | pieces_in(tokenizer, best, True)
        count = round(self.best_words * int(words.sum()))
        usable = (words & ~forbidden).to(device)
        return usable & ~best_words(single_word_scores(ranker, batch), count) if count else usable

    def _searched(
        self,
        view: View[RankingBatch],
        batch: RankingBatch,
        ranker: NeuralRanker,
        rival: Float[Tensor, " batch"],
        usable: Bool[Tensor, "batch vocabulary"],
        steps: int,
    ) -> Found:
        reader = Reader.of(ranker, batch, None)
        if self.kind == "aggressive":
            return aggressive(
                reader,
                rival,
                usable,
                steps,
                self.rounds,
                6 * self.gradient_steps,
                self.beams,
                self.candidates,
                lambda vectors, rows: self.watched(view, vectors, batch.select(rows)),
            )
        taste = Taste(
            candidates=self.candidates,
            relevance=1 - self.fluency,
            fluency=self.fluency,
            coherence=0.0,
            gradient_steps=self.gradient_steps,
        )
        nothing = torch.zeros_like(usable, dtype=torch.float32)
        task = Fluent(
            view=view if self.surrogate == "victim" else None,
            batch=batch,
            reader=reader,
            language=language_model(batch.corpus, ranker.tokenizer(batch.corpus)).to(rival.device),
            next_sentence=None,
            passage=Tokens(usable[:, :0].long(), usable[:, :0]),
            rival=rival,
            bonus=nothing,
            first=usable,
            later=usable,
            taste=taste,
            width=self.beams,
        )
        return grow(task, len(batch), steps, self.beams, rival.device)
