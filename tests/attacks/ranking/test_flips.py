"""Token flips."""

import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval_attacks.ranking.flips import flip, likely_flips
from robeval_attacks.ranking.reader import Reader


def unwatched(vectors: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    return vectors


def test_one_token_becomes_the_best_of_all(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """With the whole vocabulary as candidates, a trigger of one token ends as the optimum by enumeration."""
    reader = Reader.of(word_ranker, small_world, "front")
    usable = word_ranker.tokenizer(small_world.corpus).is_word.expand(len(small_world), -1)
    words = usable[0].nonzero().squeeze(1)
    row = torch.arange(len(small_world))
    start = words[:1].expand(len(row)).unsqueeze(1)
    found = flip(reader, row, start, usable, usable.shape[1], 1, unwatched)
    every = torch.stack([reader.scores(row, word.expand(len(row)).unsqueeze(1)) for word in words], dim=1)
    assert torch.allclose(found.score, every.amax(dim=1), atol=1e-6)
    assert found.ids.squeeze(1).equal(words[every.argmax(dim=1)])


def test_more_sweeps_are_never_worse(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """The trace rises, and its end is the score of the trigger that is returned."""
    reader = Reader.of(word_ranker, small_world, "front")
    usable = word_ranker.tokenizer(small_world.corpus).is_word.expand(len(small_world), -1)
    words = usable[0].nonzero().squeeze(1)
    row = torch.arange(len(small_world))
    found = flip(reader, row, words[:4].expand(len(row), -1), usable, 4, 4, unwatched)
    assert (found.trace.diff(dim=1) >= 0).all()
    assert (found.trace[:, -1] > found.trace[:, 0]).all()
    assert torch.allclose(found.score, reader.scores(row, found.ids), atol=1e-6)
    assert usable[0][found.ids].all()


def test_candidates_follow_the_slope(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """The first candidate is the usable token whose vector goes farthest along the gradient."""
    reader = Reader.of(word_ranker, small_world, "front")
    usable = word_ranker.tokenizer(small_world.corpus).is_word.expand(2, -1)
    row, ids = torch.tensor([1, 5]), torch.tensor([[50, 51], [52, 53]])
    found = likely_flips(reader, row, ids, 1, usable, 3, unwatched)
    vectors = word_ranker.word_vectors[ids].clone().requires_grad_()
    (slope,) = torch.autograd.grad(reader.soft_scores(row, vectors).sum(), vectors)
    gain = (slope[:, 1] @ word_ranker.word_vectors.T).masked_fill(~usable, -torch.inf)
    assert found.equal(gain.topk(3, dim=1).indices)
