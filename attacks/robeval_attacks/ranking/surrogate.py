"""Imitation: a ranker of the attacker's own, trained on nothing but the victim's ranked lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import NOBODY, Ranking, RankingBatch, ranked_lists
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokens
from robeval.domains.ranking.victims.cross_encoder import CrossEncoder
from robeval.errors import QueryBudgetSpent
from robeval.plugins.contracts import Preparation
from robeval.plugins.data import Dataset
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.ranking.ranked_pairs import pair_loss, sample
from robeval_attacks.ranking.reader import joined

TOP, LAST = 25, 4
SMOOTHING = 0.1
LEARNING_RATE, WEIGHT_DECAY, WARM_UP, CLIP, AVERAGE = 2e-3, 0.01, 0.1, 1.0, 0.99
LISTS, HEADS, TAILS = 16, 3, 1
"""Lists of a training step, and passages of each: the head's and the tail's."""
ASKED = 32
"""Lists of one question."""
START_STEPS = 80
"""Training steps on the first stage's lists, before the victim is asked anything."""

SNIPPET, VARIED = (4, 10), 0.25
"""Tokens of a cut passage or of the words before it, and the share of passages that is varied in either way."""

Start = Literal["first-stage", "straight"]


@dataclass(frozen=True)
class Answers:
    """Ranked lists as the victim gave them: query numbers [lists] and passage numbers, best first [lists, length]."""

    query: Int64[Tensor, " lists"]
    order: Int64[Tensor, "lists length"]
    truncated: bool
    """Whether the query budget ended before all was asked."""


@dataclass(frozen=True)
class Imitated:
    """What imitation learnt."""

    ranker: NeuralRanker
    answers: Answers
    loss: float
    """The mean pair loss over the last tenth of the training."""


@dataclass(frozen=True)
class Imitate(Preparation):
    """Ask for ranked lists of the training queries, and train a small cross-encoder to order passages alike.

    More lists than there are queries: the same queries are asked again about passages drawn from the whole
    collection, half of them from the query's own candidates.

    Source: Liu et al., "Order-Disorder: Imitation Adversarial Attacks for Black-box Neural Ranking Models",
    arXiv:2209.06506 (labels, RankNet on the difference of logits, smoothing).
    Differs: a small encoder with a vocabulary made from the passages, warmed up on the first stage's lists (BERT-base
    there, warmed up on labelled triples); a step takes a few passages of
    a few lists and all labelled pairs among them, weighted as the published triples are; relevance is the margin of
    the two logits, which the loss pins down (their code takes one logit); the weights are averaged over the steps.
    """

    lists: int = 120
    steps: int = 80
    start: Start = "first-stage"
    """Begin with a ranker trained on the first stage's lists, which cost no question, or with the plain encoder."""
    hidden: int = 64
    layers: int = 2

    @property
    def queries(self) -> int:
        """One question per list."""
        return self.lists

    def __call__(self, view: View[Any], data: Dataset, seed: Seed) -> Imitated:
        """The surrogate; with no lists at all it is what it started from."""
        batch = data.split("train")
        assert isinstance(batch, RankingBatch)
        queries = batch.first_of_each_query()
        answers = ask(view, queries, self.lists, seed.child("lists"))
        ranker = self._started(queries, seed)
        loss = float("nan")
        if len(answers.query):
            loss = train(ranker, batch.corpus, answers, self.steps, seed.child("steps").generator())
        return Imitated(ranker.requires_grad_(False).eval(), answers, loss)

    def _started(self, queries: RankingBatch, seed: Seed) -> CrossEncoder:
        """What imitation begins with: the same for all victims of a run, so it is made once."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed.child("weights").integer())  # the layers of transformers know no generator
            ranker = CrossEncoder(hidden=self.hidden, layers=self.layers)
        ranker.prepare(queries.corpus)
        if self.start == "straight":
            return ranker

        def warmed() -> dict[str, Tensor]:
            lists = Answers(queries.query, queries.candidates, truncated=False)
            train(ranker, queries.corpus, lists, START_STEPS, seed.child("start").generator())
            return {name: value.detach().clone() for name, value in ranker.state_dict().items()}

        key = ("first-stage ranker", seed.value, self.hidden, self.layers, queries.ids)
        ranker.load_state_dict(queries.corpus.shared(key, warmed))
        return ranker


def ask(view: View[Any], queries: RankingBatch, most: int, seed: Seed) -> Answers:
    """At most `most` ranked lists; fewer where the query budget ends before."""
    asked, orders, truncated = [queries.query[:0]], [queries.candidates[:0]], False
    for part in _questions(queries, most, seed):
        order = _answered(view, part)
        asked.append(part.query[: len(order)])
        orders.append(order)
        if len(order) < len(part):
            truncated = True
            break
    return Answers(torch.cat(asked), torch.cat(orders), truncated)


def _questions(queries: RankingBatch, most: int, seed: Seed) -> Iterator[RankingBatch]:
    """Parts of at most `ASKED` lists: every query once in a drawn order, then again about other passages."""
    order = torch.randperm(len(queries), generator=seed.generator())
    shuffled, left, number = queries.select(order), most, 0
    while left > 0:
        for start in range(0, min(left, len(shuffled)), ASKED):
            part = shuffled.select(slice(start, min(start + ASKED, left)))
            yield part if number == 0 else _about_others(part, seed.child("others", number, start))
        left, number = left - len(shuffled), number + 1


def _about_others(part: RankingBatch, seed: Seed) -> RankingBatch:
    """The same queries with lists drawn anew: half of the query's candidates, the rest from everywhere."""
    random = seed.generator()
    width, total = part.candidates.shape[1], len(part.corpus.passages)
    lot = torch.rand(len(part), total, generator=random)
    own = torch.rand(part.candidates.shape, generator=random) + torch.where(part.others, 1.0, -9.0)
    kept = own.topk(width // 2, dim=1)
    numbers = part.candidates.gather(1, kept.indices)
    row = torch.arange(len(part)).unsqueeze(1).expand_as(numbers)
    here = kept.values > 0
    lot[row[here], numbers[here]] = 2.0
    lot.scatter_(1, part.passage.unsqueeze(1), 3.0)
    candidates = lot.topk(min(width, total), dim=1).indices
    candidates = torch.nn.functional.pad(candidates, (0, width - candidates.shape[1]), value=NOBODY)
    return part.replace(candidates=candidates, target=torch.zeros_like(part.target))


def _answered(view: View[Any], part: RankingBatch) -> Int64[Tensor, "answered length"]:
    """The lists of the first rows, as many as the budget allows."""
    found, start, size = [part.candidates[:0]], 0, len(part)
    while start < len(part) and size:
        try:
            answer = view(part.select(slice(start, start + size)))
        except QueryBudgetSpent:
            size //= 2
            continue
        lists = ranked_lists(answer) if isinstance(answer, Ranking) else answer
        found.append(lists.order.cpu())
        start += size
        size = min(size, len(part) - start)
    return torch.cat(found)


def train(
    ranker: NeuralRanker, corpus: Corpus, answers: Answers, steps: int, random: torch.Generator
) -> float:
    """Train on pairs of the ranked lists, in place; the mean loss over the last tenth of the steps."""
    optimizer = torch.optim.AdamW(ranker.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    average = torch.optim.swa_utils.AveragedModel(ranker, multi_avg_fn=_moving(AVERAGE))
    ranker.train()
    losses = []
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            loss = _step_loss(ranker, corpus, answers, random)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(ranker.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            average.update_parameters(ranker)
            losses.append(float(loss.detach()))
    ranker.load_state_dict(average.module.state_dict())
    last = losses[-max(1, steps // 10) :]
    return sum(last) / max(1, len(last))


def _moving(share: float) -> Any:
    """An exponential average that forgets its start: early steps count only until later ones come."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        weight = max(1 / (int(count) + 1), 1 - share)
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)

    return update


def _step_loss(
    ranker: NeuralRanker, corpus: Corpus, answers: Answers, random: torch.Generator
) -> Float[Tensor, ""]:
    chosen = torch.randint(len(answers.query), (LISTS,), generator=random)
    order = answers.order[chosen]
    drawn = sample(order, TOP, HEADS, TAILS, random)
    passage = drawn.passage.clamp_min(0)
    query = answers.query[chosen].unsqueeze(1).expand_as(passage)
    words = ranker.tokenizer(corpus).is_word.nonzero().squeeze(1)
    texts = varied(ranker.passage_tokens(corpus, passage.flatten()), words, random)
    scores = ranker.relevance(ranker.query_tokens(corpus, query.flatten()), texts)
    length = (order != NOBODY).sum(dim=1)
    return pair_loss(scores.view(passage.shape), drawn, TOP, LAST, length, SMOOTHING)


def varied(passages: Tokens, words: Int64[Tensor, " words"], random: torch.Generator) -> Tokens:
    """A quarter of the passages cut to a few tokens, a quarter with random words in front, the rest as they are.

    A trigger is short, and it stands before a passage that it has nothing to do with. A ranker that never saw either
    gives them arbitrary scores, the same for every query, and what is found on it does not carry over.
    """
    rows, length = passages.ids.shape
    lot = torch.rand(rows, generator=random)
    known = passages.mask.sum(dim=1)
    size = torch.randint(SNIPPET[0], SNIPPET[1] + 1, (rows,), generator=random)
    start = (torch.rand(rows, generator=random) * (known - size + 1).clamp_min(1)).long()
    place = torch.arange(length)
    index = torch.where((lot < VARIED).unsqueeze(1), place + start.unsqueeze(1), place).clamp_max(length - 1)
    kept = torch.where(lot < VARIED, torch.minimum(size, known), known)
    body = Tokens(passages.ids.gather(1, index), place < kept.unsqueeze(1))
    in_front = torch.where((lot >= VARIED) & (lot < 2 * VARIED), size, 0)
    strange = words[torch.randint(len(words), (rows, SNIPPET[1]), generator=random)]
    return joined([Tokens(strange, torch.arange(SNIPPET[1]) < in_front.unsqueeze(1)), body])
