"""The defender's own attacks: triggers that training and detectors learn from."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.language import JUDGE, language_model
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokenizer, Tokens, corpus_tokenizer
from robeval.seeding import Draws

TriggerKind = Literal["query", "random", "fluent", "gradient"]
KINDS: tuple[TriggerKind, ...] = get_args(TriggerKind)
LENGTH = 6
PULL = 4.0
"""How much likelier (in log) query words are in a fluent trigger than in a text."""
FROM_BEST = 8
"""A flip is drawn from so many best tokens: triggers that differ teach more."""


def triggers(
    kind: TriggerKind,
    ranker: NeuralRanker | None,
    batch: RankingBatch,
    query: Int64[Tensor, " rows"],
    texts: Sequence[str],
    draw: Draws,
) -> list[str]:
    """One trigger for each text.

    ``query``: the query's words. ``random``: any words. ``fluent``: sampled from a language model that is pulled to
    the query's words. ``gradient``: words whose vectors raise the ranker's score most, to first order.
    """
    if kind == "query":
        return [batch.corpus.queries[number] for number in query.tolist()]
    tokenizer = corpus_tokenizer(batch.corpus)
    if kind == "random":
        words = tokenizer.is_word.nonzero().squeeze(1)
        return _texts(tokenizer, words[draw.integers(len(words), LENGTH).cpu()])
    if kind == "fluent":
        return _texts(tokenizer, _fluent(batch, query, draw))
    assert ranker is not None
    return _flipped(ranker, batch, query, texts, draw)


def _fluent(batch: RankingBatch, query: Tensor, draw: Draws) -> Int64[Tensor, "rows length"]:
    model = language_model(batch.corpus, seed=JUDGE)
    tokenizer = model.tokenizer
    asked = tokenizer.encode([batch.corpus.queries[number] for number in query.tolist()])
    bonus = torch.zeros(len(asked.ids), tokenizer.size)
    bonus.scatter_(1, asked.ids, PULL * asked.mask.float())
    bonus = bonus.masked_fill(~tokenizer.is_word, -torch.inf)
    ids = torch.zeros(len(asked.ids), 0, dtype=torch.long)
    for _ in range(LENGTH):
        # Padding of a query may have overwritten nothing but the padding's own piece, which is no word.
        weights = (model.next_log_probs(ids) + bonus).softmax(dim=1)
        ids = torch.cat([ids, draw.choice(weights).unsqueeze(1).cpu()], dim=1)
        bonus = bonus.scatter(1, ids[:, -1:], -torch.inf)
    return ids


def _flipped(
    ranker: NeuralRanker, batch: RankingBatch, query: Tensor, texts: Sequence[str], draw: Draws
) -> list[str]:
    tokenizer = ranker.tokenizer(batch.corpus)
    words = tokenizer.is_word.nonzero().squeeze(1)
    asked = ranker.query_tokens(batch.corpus, query)
    passage = ranker.text_tokens(batch.corpus, texts)
    device = passage.ids.device
    ids = words[draw.integers(len(words), LENGTH).cpu()].to(device)
    table = ranker.word_vectors.detach()
    known = tokenizer.is_word.to(device)[: len(table)]
    for place in range(LENGTH):
        row = Tokens(
            torch.cat([ids, passage.ids], dim=1),
            torch.cat([torch.ones_like(ids, dtype=torch.bool), passage.mask], dim=1),
        ).cut(max(ranker.room(asked), LENGTH))
        slope = _slope(ranker, asked, row)[:, place]
        gain = (slope @ table[: len(known)].T).masked_fill(~known, -torch.inf)
        best = gain.topk(min(FROM_BEST, len(words)), dim=1).indices
        pick = draw.integers(best.shape[1], 1).to(device)
        ids = ids.scatter(1, torch.full_like(pick, place), best.gather(1, pick))
    return _texts(tokenizer, ids.cpu())


def _slope(ranker: NeuralRanker, asked: Tokens, row: Tokens) -> Float[Tensor, "rows length hidden"]:
    """The gradient of each row's score by its word vectors."""
    with torch.enable_grad():
        vectors = ranker.embed(row).detach().requires_grad_()
        score = ranker.relevance_from_embeddings(asked, vectors, row.mask)
        return torch.autograd.grad(score.sum(), vectors)[0]


def _texts(tokenizer: Tokenizer, ids: Int64[Tensor, "rows length"]) -> list[str]:
    always: Bool[Tensor, "rows length"] = torch.ones_like(ids, dtype=torch.bool)
    return tokenizer.decode(Tokens(ids, always))
