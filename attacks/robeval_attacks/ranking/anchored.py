"""What both anchored searches share: the anchor, the rewarded words, and the search itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from robeval.domains.ranking.batch import NOBODY, RankedLists, Ranking, RankingBatch, ranked_lists
from robeval.domains.ranking.language import language_model
from robeval.domains.ranking.next_sentence import next_sentence_model
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import FRONT
from robeval.plugins.views import View
from robeval_attacks.ranking.beams import Found, grow
from robeval_attacks.ranking.fluent import Fluent, Taste
from robeval_attacks.ranking.reader import Reader
from robeval_attacks.ranking.refine import refined
from robeval_attacks.ranking.words import (
    Forbid,
    banned,
    best_words,
    first_pieces,
    later_pieces,
    pieces_in,
    single_word_scores,
)


@dataclass(frozen=True)
class Plan:
    """A search's settings."""

    taste: Taste
    beams: int = 5
    anchors: int = 3
    bonus: float = 0.68
    similar_words: int = 300
    forbid: Forbid = "none"
    in_context: bool = False
    where: str = FRONT
    full: bool = False
    sweeps: int = 0
    """Times over all positions of the best grown triggers, exchanging tokens."""
    exchanged: int = 2
    """How many of them."""


def asked_lists(view: View[RankingBatch], batch: RankingBatch) -> Int64[Tensor, "batch list"]:
    """The victim's ranked lists for these targets, one question each."""
    answer = view(batch)
    lists = ranked_lists(answer) if isinstance(answer, Ranking) else answer
    assert isinstance(lists, RankedLists)
    return lists.order


def anchors_of(batch: RankingBatch, order: Int64[Tensor, "batch list"], count: int) -> list[str]:
    """The best `count` passages of each list, joined by blanks; the target is none of them."""
    texts = []
    for numbers, target in zip(order[:, : count + 1].tolist(), batch.passage.tolist(), strict=True):
        chosen = [number for number in numbers if number not in (target, NOBODY)][:count]
        texts.append(" ".join(batch.corpus.passages[number] for number in chosen))
    return texts


def search(
    view: View[RankingBatch],
    watch: bool,
    batch: RankingBatch,
    ranker: NeuralRanker,
    anchors: Sequence[str],
    plan: Plan,
    steps: int,
) -> Found:
    """Triggers of up to `steps` tokens for every target; `watch` where gradients are the victim's."""
    corpus, device = batch.corpus, batch.query.device
    tokenizer = ranker.tokenizer(corpus)
    with torch.no_grad():
        rival = ranker.token_scores(
            ranker.query_tokens(corpus, batch.query), ranker.text_tokens(corpus, anchors)
        ).float()
    rewarded = pieces_in(tokenizer, anchors, without_stop_words=True).to(device)
    if plan.bonus and plan.similar_words:
        rewarded |= best_words(single_word_scores(ranker, batch), plan.similar_words)
    allowed = ~banned(tokenizer, batch, plan.forbid, anchors).to(device)
    reader = Reader.of(ranker, batch, plan.where if plan.in_context else None)
    task = Fluent(
        view=view if watch else None,
        batch=batch,
        reader=reader,
        language=language_model(corpus, tokenizer).to(device),
        next_sentence=next_sentence_model(corpus, tokenizer).to(device) if plan.taste.coherence else None,
        passage=tokenizer.encode(batch.texts()).cut(ranker.max_length).to(device),
        rival=rival,
        bonus=plan.bonus * rewarded.float(),
        first=allowed & first_pieces(tokenizer).to(device),
        later=allowed & later_pieces(tokenizer).to(device),
        taste=plan.taste,
        width=plan.beams,
        full=plan.full,
    )
    found = grow(task, len(batch), steps, plan.beams, device)
    return refined(task, found, plan.exchanged, plan.sweeps)
