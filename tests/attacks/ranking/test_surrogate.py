"""Imitation of a ranker from its lists."""

from typing import Any

import pytest
import torch

from robeval.domains.ranking.batch import RankedLists, RankingBatch, ranked_lists
from robeval.domains.ranking.domain import RankingDomain
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokens
from robeval.plugins.data import Dataset
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.ranking.imitation import agreement
from robeval_attacks.ranking.surrogate import SNIPPET, Imitate, ask, varied

RANK = ThreatModel("rank", Budget("tokens", "tokens", 6.0))
QUICK = Imitate(lists=8, steps=30, hidden=32, layers=1)


def viewed(ranker: NeuralRanker, batch: RankingBatch, total: int | None) -> View[Any]:
    return View(ranker, RankingDomain(), RANK, batch.ids, total=total)


def test_every_query_is_asked_once(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """Eight lists for eight queries, each the victim's own order."""
    view = viewed(word_ranker, small_world, None)
    answers = ask(view, small_world, 8, Seed(0))
    assert view.queries.tolist() == [1] * 8
    assert sorted(answers.query.tolist()) == list(range(8))
    expected = ranked_lists(word_ranker(small_world)).order
    assert answers.order.equal(expected[answers.query])
    assert not answers.truncated


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_a_spent_budget_leaves_fewer_lists(
    small_world: RankingBatch, word_ranker: NeuralRanker, limit: int
) -> None:
    """When the view stops answering, what was heard so far is kept, and no question was too many."""
    view = viewed(word_ranker, small_world, limit)
    answers = ask(view, small_world, 8, Seed(0))
    assert len(answers.query) == len(answers.order) == limit
    assert int(view.queries.sum()) == limit
    assert answers.truncated


def test_more_lists_than_queries_are_about_other_passages(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """The second round asks about lists drawn anew: no passage twice in one, half of them the query's own."""
    view = viewed(word_ranker, small_world, None)
    answers = ask(view, small_world, 13, Seed(0))
    assert len(answers.query) == 13
    assert int(view.queries.sum()) == 13
    for query, order in zip(answers.query[8:].tolist(), answers.order[8:].tolist(), strict=True):
        assert len(set(order)) == len(order)
        own = set(small_world.candidates[query].tolist())
        assert len(own & set(order)) >= len(order) // 2
        assert set(order) != own


def test_few_lists_still_give_a_ranker(
    small_world: RankingBatch, word_ranker: NeuralRanker, small_data: Dataset
) -> None:
    """With no question left the imitation is what it started from; it ranks all the same."""
    found = QUICK(viewed(word_ranker, small_world, 0), small_data, Seed(0))
    assert not len(found.answers.query)
    assert found.ranker(small_world).scores.isfinite().all()
    assert not any(parameter.requires_grad for parameter in found.ranker.parameters())


def test_scores_never_reach_the_imitator(
    small_world: RankingBatch, word_ranker: NeuralRanker, small_data: Dataset
) -> None:
    """A victim with other scores in the same order is imitated bit by bit alike."""

    class Stretched(type(word_ranker)):  # type: ignore[misc]
        def relevance_from_embeddings(self, *given: Any) -> torch.Tensor:
            return 7 * super().relevance_from_embeddings(*given) - 3

    other = Stretched(small_world.corpus).eval()
    found = [QUICK(viewed(r, small_world, 8), small_data, Seed(0)) for r in (word_ranker, other)]
    first, second = (dict(f.ranker.state_dict()) for f in found)
    assert all(value.equal(second[name]) for name, value in first.items())


def test_imitation_brings_the_lists_together(
    small_world: RankingBatch, word_ranker: NeuralRanker, small_data: Dataset
) -> None:
    """Trained on the lists, the imitation agrees more with the victim than what it started from."""
    before = QUICK(viewed(word_ranker, small_world, 0), small_data, Seed(0)).ranker
    after = QUICK(viewed(word_ranker, small_world, 8), small_data, Seed(0)).ranker
    values = [agreement(viewed(word_ranker, small_world, None), r, small_world) for r in (before, after)]
    assert values[1]["rbo"].mean() > values[0]["rbo"].mean() + 0.05


def test_a_victim_agrees_with_itself(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """All measures of agreement are 1, and one question per target was asked."""
    view = viewed(word_ranker, small_world, None)
    found = agreement(view, word_ranker, small_world)
    for name in ("overlap@10", "rbo", "zone"):
        assert torch.allclose(found[name], torch.ones(8), atol=1e-6), name
    assert view.queries.tolist() == [1] * 8


def test_the_zone_counts_pairs_of_head_and_tail(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """Against lists turned round no pair of a head and a tail passage agrees."""

    class Reversed(type(word_ranker)):  # type: ignore[misc]
        def relevance_from_embeddings(self, *given: Any) -> torch.Tensor:
            return -super().relevance_from_embeddings(*given)

    turned = Reversed(small_world.corpus).eval()
    found = agreement(viewed(word_ranker, small_world, None), turned, small_world)
    assert (found["zone"] == 0).all()


def test_variations_are_windows_and_strange_beginnings() -> None:
    """A quarter are short runs of the passage, a quarter the passage behind a few words, the rest untouched."""
    ids = torch.arange(10, 30).expand(400, 20)
    strange = torch.arange(100, 120)
    found = varied(
        Tokens(ids, torch.ones_like(ids, dtype=torch.bool)), strange, torch.Generator().manual_seed(0)
    )
    kinds = {"cut": 0, "behind": 0, "same": 0}
    for row, mask in zip(found.ids, found.mask, strict=True):
        tokens = row[mask].tolist()
        own = [token for token in tokens if token < 100]
        assert own == list(range(own[0], own[0] + len(own)))
        if len(own) < 20:
            assert len(tokens) == len(own)
            assert SNIPPET[0] <= len(own) <= SNIPPET[1]
            kinds["cut"] += 1
        else:
            assert tokens[-20:] == own
            kinds["same" if len(tokens) == 20 else "behind"] += 1
    assert 70 < kinds["cut"] < 130
    assert 70 < kinds["behind"] < 130


def test_answers_with_full_access_are_reduced_to_lists(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """Whoever sees scores gets the same lists out of them."""
    white = View(word_ranker, RankingDomain(), ThreatModel("score", RANK.budget), small_world.ids)
    first = ask(white, small_world, 8, Seed(0))
    second = ask(viewed(word_ranker, small_world, None), small_world, 8, Seed(0))
    assert first.order.equal(second.order)
    assert isinstance(viewed(word_ranker, small_world, None)(small_world), RankedLists)
