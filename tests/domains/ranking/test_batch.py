"""Ranks, orders and texts of a batch, checked by hand."""

import pytest
import torch

from robeval.domains.ranking.batch import Ranking, RankingBatch, no_removals, ordered, ranked_lists, ranks
from robeval.domains.ranking.corpus import Corpus

FIVE = torch.tensor([[10, 11, 12, 13, 14]])


def ranking(scores: list[float], target: int, removed: list[int] | None = None) -> Ranking:
    out = no_removals(FIVE)
    for place in removed or []:
        out[0, place] = True
    return Ranking(torch.tensor([scores]), FIVE, torch.tensor([target]), out)


@pytest.mark.parametrize(("score", "rank"), [(4.0, 3.0), (6.0, 1.0), (1.0, 5.0), (4.5, 2.0)])
def test_a_tie_counts_against_the_target(score: float, rank: float) -> None:
    """On scores 5, 4, 3, 2 the target with 4 is third, with 6 first, with 1 last."""
    assert ranks(ranking([5.0, 4.0, 3.0, 2.0, score], target=4)).tolist() == [rank]


def test_a_constant_victim_ranks_every_target_last() -> None:
    """Equal scores put the target behind all others, so no attack on a constant victim succeeds."""
    assert ranks(ranking([1.0] * 5, target=0)).tolist() == [5.0]


def test_a_nan_score_is_last() -> None:
    """A target whose score is NaN ranks behind every number, in the rank and in the list."""
    broken = ranking([1.0, float("nan"), 0.0, -1.0, -2.0], target=1)
    assert ranks(broken).tolist() == [5.0]
    assert ordered(broken)[0, -1] == 1


def test_a_removed_target_ranks_behind_the_whole_list() -> None:
    """Thrown out by a filter it has rank N + 1, whatever its score."""
    assert ranks(ranking([1.0, 2.0, 3.0, 4.0, 9.0], target=4, removed=[4])).tolist() == [6.0]


def test_removed_others_make_room() -> None:
    """Passages that a filter throws out rank behind the target, even with higher scores."""
    assert ranks(ranking([9.0, 8.0, 3.0, 2.0, 5.0], target=4, removed=[0])).tolist() == [2.0]
    assert ordered(ranking([9.0, 8.0, 3.0, 2.0, 5.0], target=4, removed=[0])).tolist() == [[1, 4, 2, 3, 0]]


def test_the_list_agrees_with_the_rank() -> None:
    """The place of the target in the revealed list is its rank, for random scores with ties."""
    scores = torch.randint(0, 4, (50, 9), generator=torch.Generator().manual_seed(0)).float()
    passages = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(i)) for i in range(50)])
    target = torch.randint(0, 9, (50,), generator=torch.Generator().manual_seed(1))
    given = Ranking(scores, passages, target, no_removals(passages))
    number = passages.gather(1, target.unsqueeze(1)).squeeze(1)
    assert torch.equal(ranked_lists(given).rank_of(number).float(), ranks(given))


def test_padding_ends_a_list() -> None:
    """A shorter list ends in -1 and its rank counts listed passages only."""
    passages = torch.tensor([[7, 8, -1]])
    given = Ranking(torch.tensor([[1.0, 2.0, 0.0]]), passages, torch.tensor([0]), no_removals(passages))
    assert ranked_lists(given).order.tolist() == [[8, 7, -1]]
    assert ranks(given).tolist() == [2.0]


def test_a_passage_outside_the_list_ranks_behind_it() -> None:
    """The rank of a passage that the list does not hold is its length plus one."""
    assert ranked_lists(ranking([1.0] * 5, 0)).rank_of(torch.tensor([99])).tolist() == [6]


def test_texts_travel_through_tensors(pairs: RankingBatch) -> None:
    """Selecting, repeating and joining keep every example's own text, accents included."""
    changed = pairs.with_texts(["é accent", ""])
    assert changed.select([1, 0]).texts() == ["", "é accent"]
    assert RankingBatch.join([changed, pairs]).texts()[2] == "a blue sea is deep ."
    assert changed.repeat(2).texts() == ["é accent", "é accent", "", ""]


def test_a_text_without_room_is_refused(pairs: RankingBatch) -> None:
    """A text longer than its tensor names the option that gives it room."""
    with pytest.raises(ValueError, match="room=BYTES"):
        pairs.with_texts(["x" * 97, ""])


def test_one_example_of_each_query(pairs: RankingBatch) -> None:
    """Copies of a query are dropped, the first is kept."""
    assert pairs.repeat(3).first_of_each_query().ids == pairs.ids


def test_a_corpus_names_a_double_id() -> None:
    """An id that comes twice is an error that shows it."""
    with pytest.raises(ValueError, match="'b' is given twice"):
        Corpus(("q",), ("x",), ("b", "b"), ("1", "2"))


def test_corpora_are_equal_by_content(foxes: Corpus) -> None:
    """A copy is equal, and another text or grade is not."""
    parts = (foxes.query_ids, foxes.queries, foxes.passage_ids)
    assert Corpus(*parts, foxes.passages, foxes.qrels) == foxes
    assert Corpus(*parts, ("x", *foxes.passages[1:]), foxes.qrels) != foxes
    assert Corpus(*parts, foxes.passages, {}) != foxes
