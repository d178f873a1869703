"""PAT one target at a time, then one beam after the other, as published code does it.

Written from the description of the method (arXiv:2209.06506): word vectors by products with one-hot matrices; the
anchor scored again in every gradient step; the rewarded words found again for every target, one piece of the
vocabulary at a time; the next-sentence model asked about every candidate.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot, softplus

from robeval.domains.ranking import language, next_sentence
from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.tokens import Tokens
from robeval.domains.ranking.victims.cross_encoder import CrossEncoder
from robeval_attacks.ranking.fluent import repeated
from robeval_attacks.ranking.words import first_pieces, later_pieces, pieces_in

BEAMS, CANDIDATES, LENGTH, GRADIENT_STEPS = 5, 48, 6, 5
FLUENCY, COHERENCE, BONUS, SIMILAR = 0.6, 0.1, 0.68, 300
TEMPERATURE, STEP, REPETITION = 0.1, 1e-3, 5.0
SCANNED = 64
"""Vocabulary words of one ranker call in the slow way."""


class Models(NamedTuple):
    """What both ways ask."""

    ranker: CrossEncoder
    language: language.LanguageModel
    follows: next_sentence.NextSentenceModel


def models(batch: RankingBatch) -> Models:
    """Small models over the corpus's own vocabulary."""
    ranker = CrossEncoder()
    ranker.prepare(batch.corpus)
    reader = ranker.tokenizer(batch.corpus)
    return Models(
        ranker.eval().requires_grad_(False),
        language.language_model(batch.corpus, reader),
        next_sentence.next_sentence_model(batch.corpus, reader),
    )


def one_by_one(known: Models, batch: RankingBatch, anchors: list[str]) -> list[list[int]]:
    """Triggers of the targets, one after the other."""
    return [_one(known, batch.select([row]), anchors[row]) for row in range(len(batch))]


def _one(known: Models, target: RankingBatch, anchor: str) -> list[int]:
    ranker, corpus = known.ranker, target.corpus
    reader = ranker.tokenizer(corpus)
    query = ranker.query_tokens(corpus, target.query)
    passage = reader.encode(target.texts())
    words = first_pieces(reader).nonzero().squeeze(1)
    alone = torch.cat([_score(ranker, query, part.unsqueeze(1)) for part in torch.split(words, SCANNED)])
    bonus = pieces_in(reader, [anchor], without_stop_words=True)[0]
    bonus[words[alone.topk(min(SIMILAR, len(words))).indices]] = True
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    best: tuple[float, list[int]] = (-float("inf"), [])
    for step in range(LENGTH):
        usable = later_pieces(reader) if step else first_pieces(reader)
        options: list[tuple[float, float, list[int]]] = []
        for ids, total in beams:
            prefix = torch.tensor([ids], dtype=torch.long)
            with torch.no_grad():
                log_p = known.language.next_log_probs(prefix)[0]
            bent = log_p + _bend(known, target, anchor, query, prefix, log_p, usable, bonus) / TEMPERATURE
            likely = repeated(bent.unsqueeze(0), prefix, REPETITION)[0].masked_fill(~usable, -torch.inf)
            chosen = likely.topk(CANDIDATES).indices
            rows = torch.cat([prefix.expand(CANDIDATES, -1), chosen.unsqueeze(1)], dim=1)
            score = _score(ranker, query, rows)
            with torch.no_grad():
                follows = known.follows(_repeat(passage, CANDIDATES), _whole(rows))
            value = logsigmoid(score) + FLUENCY * (log_p[chosen] + total)
            value = value - COHERENCE * follows.does_not.clamp_min(-10) + BONUS * bonus[chosen].float()
            extended = zip(value.tolist(), (log_p[chosen] + total).tolist(), rows.tolist(), strict=True)
            options += extended
        options.sort(key=lambda option: -option[0])
        beams = [(ids, total) for _, total, ids in options[:BEAMS]]
        for ids, _ in beams:
            best = max(best, (float(_score(ranker, query, torch.tensor([ids]))), ids))
    return best[1]


def _bend(
    known: Models,
    target: RankingBatch,
    anchor: str,
    query: Tokens,
    prefix: Tensor,
    log_p: Tensor,
    usable: Tensor,
    bonus: Tensor,
) -> Tensor:
    ranker = known.ranker
    table = ranker.word_vectors[: len(log_p)]
    mask = torch.where(usable, BONUS * bonus.float(), -torch.inf)
    offset = torch.zeros_like(log_p, requires_grad=True)
    optimizer = torch.optim.Adam([offset], lr=STEP)
    for _ in range(GRADIENT_STEPS):
        optimizer.zero_grad()
        soft = ((TEMPERATURE * log_p + offset + mask) / TEMPERATURE).softmax(dim=0)
        rows = torch.cat([one_hot(prefix[0], len(table)).float(), soft.unsqueeze(0)])
        vectors = (rows @ table).unsqueeze(0)
        always = torch.ones(vectors.shape[:2], dtype=torch.bool)
        rival = ranker.relevance(query, ranker.text_tokens(target.corpus, [anchor]))
        loss = softplus(rival - ranker.relevance_from_embeddings(query, vectors, always)).sum()
        loss.backward()
        optimizer.step()
    return offset.detach()


def _score(ranker: CrossEncoder, query: Tokens, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return ranker.relevance(_repeat(query, len(ids)), _whole(ids))


def _whole(ids: Tensor) -> Tokens:
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))


def _repeat(tokens: Tokens, times: int) -> Tokens:
    return Tokens(tokens.ids.expand(times, -1), tokens.mask.expand(times, -1))
