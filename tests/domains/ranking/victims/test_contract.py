"""What every ranking victim keeps."""

import copy

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.ranker import NeuralRanker, Ranker
from robeval.domains.ranking.tokens import Tokens
from robeval.domains.ranking.victims.dual import DualVictim


@torch.no_grad()
def test_a_rows_score_does_not_depend_on_its_neighbours(ranker: Ranker, pairs: RankingBatch) -> None:
    """Alone or among others, repeated or not, an example has the same scores."""
    together = ranker(pairs.repeat(3)).scores[3]
    alone = copy.deepcopy(ranker)(pairs.select([1])).scores[0]
    assert torch.allclose(together, alone, atol=1e-5)


@torch.no_grad()
def test_the_target_has_the_score_of_its_text(ranker: Ranker, pairs: RankingBatch) -> None:
    """An unchanged target scores as its passage does, a changed one as its new text."""
    clean = ranker(pairs)
    as_passage = ranker.pair_scores(pairs.corpus, pairs.query, pairs.passage)
    assert torch.allclose(clean.own(), as_passage, atol=1e-5)
    changed = ranker(pairs.with_texts(["red fox red fox", pairs.texts()[1]]))
    assert changed.own()[0] != clean.own()[0]
    others = pairs.others[0]
    assert torch.equal(changed.scores[0][others], clean.scores[0][others])


@torch.no_grad()
def test_empty_passages_have_a_score(ranker: Ranker, pairs: RankingBatch) -> None:
    """An empty text is ranked like any other, in a batch of its own and among others."""
    found = ranker(pairs.with_texts(["", ""]))
    assert found.scores.isfinite().all()
    mixed = ranker(pairs.with_texts(["", pairs.texts()[1]]))
    assert torch.allclose(mixed.own()[0], found.own()[0], atol=1e-5)


@torch.no_grad()
def test_padding_scores_nothing(ranker: Ranker, pairs: RankingBatch) -> None:
    """Behind the end of a list the score is 0."""
    assert ranker(pairs).scores[1, 2] == 0


@torch.no_grad()
def test_unchanged_passages_are_asked_once(ranker: Ranker, pairs: RankingBatch) -> None:
    """A second list of the same query asks about no passage again."""
    asked: list[int] = []
    original = ranker.pair_scores
    ranker.pair_scores = lambda corpus, query, passage: (
        asked.append(len(passage)) or original(corpus, query, passage)
    )
    ranker(pairs)
    ranker(pairs.with_texts(["x", "y"]))
    assert asked == [int(pairs.others.sum())]


@torch.no_grad()
def test_targets_as_the_corpus_has_them_are_read_once(neural: NeuralRanker, pairs: RankingBatch) -> None:
    """Asking again about unchanged targets encodes no passage anew where passages are read apart; scores stay."""
    if not isinstance(neural, DualVictim):
        pytest.skip("reads query and passage together")
    first = neural(pairs).scores
    read: list[int] = []
    original = neural.read
    neural.read = lambda vectors, mask: read.append(len(vectors)) or original(vectors, mask)
    assert neural(pairs).scores.equal(first)
    assert sum(read) <= len(pairs)  # the queries
    mixed = pairs.with_texts([pairs.texts()[0], "x"])
    changed, plain = neural(mixed).own(), neural.text_scores(mixed.corpus, mixed.query, mixed.texts())
    assert torch.allclose(changed, plain, atol=1e-5)


@torch.no_grad()
def test_changed_weights_are_noticed(neural: NeuralRanker, pairs: RankingBatch) -> None:
    """Scores that were kept are forgotten when a weight changes in place."""
    before = neural(pairs).scores
    for parameter in neural.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    after, fresh = neural(pairs).scores, copy.deepcopy(neural)(pairs).scores
    assert not torch.allclose(before[0, 0], after[0, 0])
    assert torch.allclose(after, fresh, atol=1e-5)


def test_gradients_reach_every_word(neural: NeuralRanker, pairs: RankingBatch) -> None:
    """The score of word vectors is the score of the words, and depends on each of them and on no padding."""
    corpus = pairs.corpus
    query, passage = neural.query_tokens(corpus, pairs.query), neural.text_tokens(corpus, pairs.texts())
    vectors = neural.embed(passage).detach().requires_grad_()
    score = neural.relevance_from_embeddings(query, vectors, passage.mask)
    assert torch.allclose(score, neural.text_scores(corpus, pairs.query, pairs.texts()), atol=1e-5)
    (slope,) = torch.autograd.grad(score.sum(), vectors)
    assert torch.equal(slope.abs().sum(dim=2) > 0, passage.mask)


def test_a_long_passage_is_cut_and_a_query_is_not(neural: NeuralRanker, foxes: Corpus) -> None:
    """Words behind the longest input change nothing; the first word does."""
    long = "the " * 100
    rows = torch.tensor([0, 0, 0])
    with torch.no_grad():
        plain, tail, head = neural.text_scores(foxes, rows, [long, f"{long} fox", f"fox {long}"])
    assert torch.isclose(plain, tail, atol=1e-5)
    assert not torch.isclose(plain, head, atol=1e-6)


def test_pieces_by_length_change_nothing(neural: NeuralRanker, foxes: Corpus, monkeypatch) -> None:
    """However many rows go through at once, the scores are the same and in order."""
    rows, texts = torch.tensor([0, 1, 0, 1]), ["the", "a blue sea is deep .", "", "the fox sleeps"]
    with torch.no_grad():
        whole = neural.text_scores(foxes, rows, texts)
        monkeypatch.setattr("robeval.domains.ranking.ranker.ROWS_TOKENS", 8)
        assert torch.allclose(neural.text_scores(foxes, rows, texts), whole, atol=1e-5)


def test_holes_between_query_and_passage_close(foxes: Corpus) -> None:
    """Padding behind a short query neither moves the passage nor is read."""
    from robeval.domains.ranking.victims.cross_encoder import CrossEncoder

    victim = CrossEncoder(hidden=16, vocabulary=128, max_length=48).eval()
    passage = victim.text_tokens(foxes, ["the fox"])
    query = victim.query_tokens(foxes, torch.tensor([0]))
    wide = Tokens(torch.nn.functional.pad(query.ids, (0, 5)), torch.nn.functional.pad(query.mask, (0, 5)))
    with torch.no_grad():
        assert torch.allclose(victim.relevance(query, passage), victim.relevance(wide, passage), atol=1e-5)


@pytest.mark.parametrize("steps", [30])
def test_training_learns_to_prefer(neural: NeuralRanker, pairs: RankingBatch, steps: int) -> None:
    """The loss of a judged pair falls, and an unjudged query has none."""
    neural.train()
    neural.smoothing = 0.0
    optimizer = torch.optim.Adam(neural.parameters(), lr=1e-2)
    torch.manual_seed(0)
    first = neural.loss(pairs).detach()
    assert first[1] == 0
    for _ in range(steps):
        optimizer.zero_grad()
        neural.loss(pairs).sum().backward()
        optimizer.step()
    assert neural.loss(pairs)[0] < first[0] / 2
