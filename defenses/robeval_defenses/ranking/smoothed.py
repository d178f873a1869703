"""A ranker that answers with the mean score of random copies; the base of the certified defenses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.around import RankerAround
from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.memo import PairMemo
from robeval.domains.ranking.metrics import promotion
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.plugins.threat import Budget
from robeval.plugins.victim import Victim
from robeval.seeding import Draws, Noise, Seed
from robeval_defenses.ranking.around import ranker
from robeval_defenses.ranking.certificate import estimation_error, is_certified, largest_answer
from robeval_defenses.ranking.copies import Copier
from robeval_defenses.ranking.filtered import calibration_lists
from robeval_defenses.ranking.training import RankTraining, pairs

ROWS_AT_ONCE = 4096
"""Copies that are made and scored at once."""


@dataclass(frozen=True)
class Smoothing(Defense):
    """Options of all smoothing defenses. Write `copier` and `radius_budget`."""

    gradient: ClassVar[GradientPath] = "straight-through"
    certifies: ClassVar[bool] = True
    warm_start: ClassVar[bool] = True

    samples: Annotated[int, Field(ge=1, description="copies behind a score")] = 10
    certificate_samples: Annotated[
        int,
        Field(
            ge=1, description="copies of a passage behind a bound; 40 times `samples`, or little is proven"
        ),
    ] = 400
    confidence: Annotated[
        float, Field(gt=0, lt=1, description="probability that an example's bound holds")
    ] = 0.95
    sharpness: Annotated[
        float,
        Field(
            gt=0,
            description="steepness of the sigmoid: steeper proves more and tells good passages less apart",
        ),
    ] = 2.0
    steps: Annotated[int, Field(ge=1, description="training steps on copies after the warm start")] = 60

    def copier(self, corpus: Corpus) -> Copier:
        """How copies are made."""
        raise NotImplementedError

    @property
    def radius_budget(self) -> Budget:
        """What the bound holds for."""
        raise NotImplementedError

    def robustify(self, victim: Victim, data: Dataset, seed: Seed) -> pl.LightningModule:
        """The victim under its own loss on copies."""
        batch = data.split("train")
        assert isinstance(batch, RankingBatch)
        return CopyTraining(victim, seed, self.copier(batch.corpus), self.steps)

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind copies and mean."""
        lists = calibration_lists(data)
        smoothed = SmoothedRanker(victim, self, self.copier(lists.corpus), seed.child("noise"))
        smoothed.calibrate(lists)
        return smoothed


class SmoothedRanker(RankerAround):
    """Scores are means over copies of sigmoid(sharpness (score - centre) / spread); a `Certifies`.

    Whoever asks for gradients gets the unsmoothed victim's. Attackers meet fresh copies of their texts with every
    question; passages that nobody changed have one set of copies for attackers and another for the evaluation.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, victim: nn.Module, options: Smoothing, copier: Copier, seed: Seed) -> None:
        super().__init__(ranker(victim))
        self.options, self.copier = options, copier
        self.noise = Noise(seed)
        self.radius_budget = options.radius_budget
        self.radius = self.radius_budget.default
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    def calibrate(self, lists: RankingBatch) -> None:
        """Centre and spread of clean scores: a sigmoid of scores far from 0 would not tell them apart."""
        scores = self.victim.listed_scores(lists)[lists.others]
        self.centre.fill_(scores.median())
        self.spread.fill_(scores.std().clamp_min(1e-6))

    def text_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The smoothed score, in [0, 1]."""
        asked = zip(query.tolist(), texts, strict=True)
        draw = self.noise([f"{corpus.query_ids[number]}/{text}" for number, text in asked])
        return self.mean_score(corpus, query, texts, draw, self.options.samples).float()

    def pair_scores(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], passage: Int64[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The same for passages of the corpus, by number."""
        texts = [corpus.passages[number] for number in passage.tolist()]
        keys = [
            f"{corpus.query_ids[number]}/{text}" for number, text in zip(query.tolist(), texts, strict=True)
        ]
        # Not more than one set of copies for all attackers' questions, whatever their order.
        draw = self.noise.seed.child("round", min(self.noise.round, 1)).draws(keys)
        return self.mean_score(corpus, query, texts, draw, self.options.samples).float()

    def mean_score(
        self,
        corpus: Corpus,
        query: Int64[Tensor, " rows"],
        texts: Sequence[str],
        draw: Draws,
        count: int,
    ) -> Float[Tensor, " rows"]:
        """The mean over `count` copies of each text, in double precision."""
        return self.copy_scores(corpus, query, texts, draw, count).mean(dim=1)

    def copy_scores(
        self,
        corpus: Corpus,
        query: Int64[Tensor, " rows"],
        texts: Sequence[str],
        draw: Draws,
        count: int,
    ) -> Float[Tensor, "rows count"]:
        """The score in [0, 1] of each of `count` copies of each text."""
        size = max(1, ROWS_AT_ONCE // count)
        rows = torch.arange(len(texts))
        parts = [
            self._scored(corpus, query[part], [texts[row] for row in part.tolist()], draw.select(part), count)
            for part in torch.split(rows, size)
        ]
        return torch.cat(parts) if parts else self.centre.new_zeros(0, count).double()

    def certify(self, batch: RankingBatch) -> Mapping[str, Tensor]:
        """The best rank that the target can reach within the radius, and what follows from it: [batch] each.

        The other passages' scores are those that the evaluation ranks by; the target's can be no more than the bound,
        except with probability 1 - `confidence` in each example.
        """
        with torch.no_grad():
            clean = self(batch)
            reach = torch.maximum(self.reach(batch), clean.own().double())
        # Rounded up, so that float32 does not lose the last step of a bound.
        up = torch.nextafter(reach.to(clean.scores.dtype), torch.tensor(torch.inf, device=reach.device))
        best = clean._replace(scores=clean.scores.scatter(1, batch.target.unsqueeze(1), up.unsqueeze(1)))
        found = promotion(clean, best)
        return {name: found[name] for name in ("top10", "top50", "boost", "rank", "rose")}

    def reach(self, batch: RankingBatch) -> Float[Tensor, " batch"]:
        """The largest score that a text within the radius gets, but with probability 1 - `confidence`."""
        options, corpus, texts = self.options, batch.corpus, batch.texts()
        draw = self.noise.seed.child("certificate").draws(batch.ids)
        values = self.copy_scores(corpus, batch.query, texts, draw, options.certificate_samples)
        shift = self.copier.shift(corpus, texts).to(values)
        return largest_answer(values, options.samples, shift, 1 - options.confidence)

    def certified_top(self, batch: RankingBatch, top: int = 10) -> Bool[Tensor, " batch"]:
        """Whether each example's list keeps its first `top` passages, whichever single one behind them is changed.

        The published figure CRQ@k is the share over one example of each query. It speaks of means over infinitely many
        copies, estimated with `certificate_samples` and held jointly with the given confidence; the mean over `samples`
        copies that is answered can still differ (`certify` covers that).
        """
        options, corpus = self.options, batch.corpus
        row, place = batch.listed.nonzero(as_tuple=True)
        query, passage = batch.query[row], batch.candidates[row, place]
        texts = [corpus.passages[number] for number in passage.tolist()]
        keys = [f"{n}/{p}" for n, p in zip(query.tolist(), passage.tolist(), strict=True)]
        draw = self.noise.seed.child("certificate").draws(keys)
        with torch.no_grad():
            mean = self.mean_score(corpus, query, texts, draw, options.certificate_samples)
        scores, shifts = (torch.zeros(batch.candidates.shape, dtype=torch.double) for _ in range(2))
        scores[row, place], shifts[row, place] = mean.cpu(), self.copier.shift(corpus, texts).double()
        joint = (1 - options.confidence) / batch.candidates.shape[1]
        allowance = 2 * estimation_error(options.certificate_samples, joint)
        return is_certified(scores, shifts, batch.listed.cpu(), top, allowance)

    @property
    def _memo(self) -> PairMemo:
        """One memo for the evaluation and one for attackers: their copies differ."""
        name = "_judge_memo" if self.noise.round == 0 else "_attacker_memo"
        kept = self.__dict__.get(name)
        if kept is None:
            kept = self.__dict__[name] = PairMemo()
        return kept

    def _scored(
        self, corpus: Corpus, query: Tensor, texts: Sequence[str], draw: Draws, count: int
    ) -> Float[Tensor, "rows {count}"]:
        copies = self.copier.copies(corpus, texts, draw, count)
        scores = self.victim.text_scores(corpus, query.repeat_interleave(count), copies).double()
        steep = self.options.sharpness * (scores - self.centre) / self.spread
        return torch.sigmoid(steep).view(len(texts), count)


class CopyTraining(RankTraining):
    """The victim's pairwise loss on one random copy of each passage."""

    def __init__(self, victim: Victim, seed: Seed, copier: Copier, steps: int) -> None:
        super().__init__(victim, seed, steps)
        self.copier = copier

    def row_loss(self, batch: RankingBatch, draw: Draws) -> Float[Tensor, " batch"]:
        """The loss of every pair of copies."""
        drawn = pairs(batch, draw.fork("pairs"))
        better, worse = (
            self.ranker.text_scores(
                batch.corpus, drawn.query, self.copier.copies(batch.corpus, texts, draw.fork(name), 1)
            )
            for name, texts in (("better", drawn.better), ("worse", drawn.worse))
        )
        return self.ranked(better - worse) * drawn.counts
