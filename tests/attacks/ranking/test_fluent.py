"""The sum that fluent triggers are chosen by."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.language import language_model
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokens
from robeval_attacks.ranking.beams import Beams, grow
from robeval_attacks.ranking.fluent import REACH, Fluent, Taste, repeated
from robeval_attacks.ranking.reader import Reader
from robeval_attacks.ranking.refine import refined
from robeval_attacks.ranking.words import first_pieces, later_pieces

COUNT = 8


def spread(first: Tokens, second: Tokens) -> tuple[Tensor, Tensor]:
    """A next-sentence model that hashes the last token: log-probabilities from almost 0 to beyond the limit."""
    value = -((second.ids[:, -1] * 37 % 101) / 101 * 1.5 * REACH) - 0.01
    return value, value.flip(0) * 0 - ((second.ids[:, -1] * 53 % 97) / 97 * 1.5 * REACH) - 0.01


def task(batch: RankingBatch, ranker: NeuralRanker, **taste: Any) -> Fluent:
    tokenizer = ranker.tokenizer(batch.corpus)
    every = torch.ones(len(batch), 1, dtype=torch.bool)
    return Fluent(
        view=None,
        batch=batch,
        reader=Reader.of(ranker, batch, None),
        language=language_model(batch.corpus, tokenizer),
        next_sentence=spread,
        passage=tokenizer.encode(batch.texts()),
        rival=torch.zeros(len(batch)),
        bonus=0.5 * (torch.arange(tokenizer.size) % 2).float().expand(len(batch), -1),
        first=every & first_pieces(tokenizer),
        later=every & later_pieces(tokenizer),
        taste=Taste(**{"candidates": 12, "gradient_steps": 0, **taste}),
        width=3,
    )


def started(count: int, *tokens: int) -> Beams:
    ids = torch.tensor([[list(tokens), list(reversed(tokens))]] * count)
    return Beams(ids, torch.tensor([[-1.5, -2.5]] * count), torch.ones(count, 2, dtype=torch.bool))


@pytest.mark.parametrize("form", ["minus_not_next", "plus_next"])
def test_the_sum_is_the_published_one(
    small_world: RankingBatch, word_ranker: NeuralRanker, form: Any
) -> None:
    """log sigmoid of the margin + 0.6 (log p + sum so far) + bonus, and coherence; term by term for the best."""
    search = task(small_world, word_ranker, coherence=0.3, next_form=form)
    beams = started(COUNT, 60, 61)
    extensions = search.extend(beams)
    found = search.value(beams, extensions)
    for row in (0, 5):
        flat = int(found[row].argmax())
        beam, place = divmod(flat, extensions.ids.shape[2])
        token = extensions.ids[row, beam, place]
        ids = torch.cat([beams.ids[row, beam], token.view(1)]).unsqueeze(0)
        score = search.reader.scores(torch.tensor([row]), ids)[0]
        log_p = search.language.next_log_probs(beams.ids[row, beam].unsqueeze(0))[0, token]
        follows, does_not = spread(Tokens(ids, ids > 0), Tokens(ids, ids > 0))
        term = follows if form == "plus_next" else -does_not
        expected = torch.nn.functional.logsigmoid(score) + 0.6 * (log_p + beams.log_p[row, beam])
        expected = expected + search.bonus[row, token] + 0.3 * term[0].clamp(-REACH, REACH)
        assert float(found[row, beam, place]) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("form", ["minus_not_next", "plus_next"])
@pytest.mark.parametrize("coherence", [0.0, 0.02, 0.3])
def test_asking_less_keeps_the_same_beams(
    small_world: RankingBatch,
    word_ranker: NeuralRanker,
    monkeypatch: pytest.MonkeyPatch,
    form: Any,
    coherence: float,
) -> None:
    """The beams that would be kept are those of asking the ranker and the next-sentence model about all candidates."""
    search = task(small_world, word_ranker, coherence=coherence, next_form=form)
    beams = started(COUNT, 60, 61)
    extensions = search.extend(beams)
    asked: list[int] = []
    relevance = Fluent._relevance

    def counted(search: Fluent, row: Tensor, ids: Tensor) -> Tensor:
        asked.append(len(row))
        return relevance(search, row, ids)

    monkeypatch.setattr(Fluent, "_relevance", counted)
    few = search.value(beams, extensions).flatten(1)
    assert sum(asked) < few.numel()
    all_of_them = replace(search, width=few.shape[1]).value(beams, extensions).flatten(1)
    assert all_of_them.isfinite().all()
    assert few.topk(3, dim=1).indices.equal(all_of_them.topk(3, dim=1).indices)
    assert few.isinf().any()


def test_candidates_are_the_likeliest_usable_tokens(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """Without bending and repetition, the proposals are the language model's own."""
    search = task(small_world, word_ranker, repetition=1.0)
    found = search.extend(started(COUNT, 60, 61))
    log_p = search.language.next_log_probs(torch.tensor([[60, 61]]))
    expected = log_p.masked_fill(~search.later[:1], -torch.inf).topk(12, dim=1)
    assert found.ids[3, 0].equal(expected.indices[0])
    assert torch.allclose(found.log_p[3, 0], expected.values[0], atol=1e-5)


def test_half_of_the_candidates_follow_the_gradient(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """With both proposals most of the query's words come up though the language model does not think of them."""
    beams = started(COUNT, 60, 61)
    query = word_ranker.query_tokens(small_world.corpus, small_world.query).ids
    shares = []
    for proposals in ("lm", "both"):
        ids = task(small_world, word_ranker, proposals=proposals).extend(beams)
        known = torch.where(ids.allowed, ids.ids, -1).flatten(1)
        shares.append((known.unsqueeze(2) == query.unsqueeze(1)).any(dim=1).double().mean())
    assert shares[1] > shares[0]
    assert shares[1] >= 0.7


def test_repeated_tokens_get_less_likely() -> None:
    """Negative logits are multiplied by the penalty, positive ones divided."""
    logits = torch.tensor([[-1.0, 2.0, 3.0]])
    assert repeated(logits, torch.tensor([[0, 1]]), 5.0).tolist() == [[-5.0, pytest.approx(0.4), 3.0]]


def test_exchanging_tokens_never_lowers_a_trigger(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """The grown triggers stay; what is added is worth at least what it was made from, and beats it for somebody."""
    search = task(small_world, word_ranker, candidates=24, proposals="both", relevance=4.0, fluency=0.02)
    grown = grow(search, COUNT, 4, 3)
    found = refined(search, grown, 2, 2)
    assert found.score.shape[1] == grown.score.shape[1] + 2
    assert (found.score[:, 0] >= grown.score[:, 0]).all()
    assert (found.score[:, :-1] >= found.score[:, 1:]).all()
    row = torch.arange(COUNT)
    best = torch.where(grown.length == 4, grown.score, -torch.inf).argmax(dim=1)
    made_from = search.worth(row, grown.ids[row, best])
    exchanged = torch.stack(
        [search.worth(row, found.ids[:, kept]) for kept in range(found.ids.shape[1])], dim=1
    ).masked_fill(found.length != 4, -torch.inf)
    assert (exchanged.amax(dim=1) >= made_from - 1e-5).all()
    assert (exchanged.amax(dim=1) > made_from + 1e-3).any()


def test_the_worth_of_a_whole_sequence_is_the_sum_that_it_grew_with(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """Without a bonus, growing token by token and looking at the end give the same."""
    search = task(small_world, word_ranker, coherence=0.3)
    plain = replace(search, bonus=torch.zeros_like(search.bonus))
    log_p = plain.language.next_log_probs(torch.tensor([[]], dtype=torch.long))[0, 60]
    beams = Beams(
        torch.full((COUNT, 1, 1), 60), log_p.expand(COUNT, 1), torch.ones(COUNT, 1, dtype=torch.bool)
    )
    extensions = plain.extend(beams)
    value = plain.value(beams, extensions)
    best = value.flatten(1).argmax(dim=1)
    row = torch.arange(COUNT)
    ids = torch.stack([torch.full((COUNT,), 60), extensions.ids.flatten(1)[row, best]], dim=1)
    assert plain.worth(row, ids).tolist() == pytest.approx(value.flatten(1)[row, best].tolist(), abs=1e-4)
