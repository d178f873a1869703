"""Triggers as a ranker reads them."""

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import inserted
from robeval.domains.ranking.tokens import Tokens
from robeval_attacks.ranking.reader import Reader, full, joined


@pytest.mark.parametrize("where", ["front", "middle", "end", None])
def test_scores_are_those_of_the_published_text(
    small_world: RankingBatch, word_ranker: NeuralRanker, where: str | None
) -> None:
    """Token by token or written out and read again, a trigger in its place has one score."""
    tokenizer = word_ranker.tokenizer(small_world.corpus)
    ids = tokenizer.is_word.nonzero().squeeze(1)[torch.tensor([[3, 8, 5]] * len(small_world))]
    triggers = tokenizer.decode(full(ids))
    texts = triggers if where is None else inserted(small_world.texts(), triggers, where)
    expected = word_ranker.text_scores(small_world.corpus, small_world.query, texts)
    found = Reader.of(word_ranker, small_world, where).scores(torch.arange(len(small_world)), ids)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("where", ["front", "middle", None])
def test_soft_scores_of_hard_tokens_are_hard_scores(
    small_world: RankingBatch, word_ranker: NeuralRanker, where: str | None
) -> None:
    """Word vectors of tokens give the score of the tokens, and a slope in every one of them."""
    ids = torch.tensor([[50, 60], [51, 61], [52, 62]])
    row = torch.tensor([4, 0, 4])
    reader = Reader.of(word_ranker, small_world, where)
    vectors = word_ranker.embed(full(ids)).clone().requires_grad_()
    soft = reader.soft_scores(row, vectors)
    assert torch.allclose(soft, reader.scores(row, ids), atol=1e-5)
    (slope,) = torch.autograd.grad(soft.sum(), vectors)
    assert (slope.norm(dim=2) > 0).all()


def test_joined_rows_have_no_holes() -> None:
    """Padding of the first part moves behind the second."""
    first = Tokens(torch.tensor([[1, 0], [2, 3]]), torch.tensor([[True, False], [True, True]]))
    found = joined([first, full(torch.tensor([[8], [9]]))])
    assert found.ids[0, :2].tolist() == [1, 8]
    assert found.mask.tolist() == [[True, True, False], [True, True, True]]
    assert found.ids[1].tolist() == [2, 3, 9]
