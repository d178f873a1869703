"""What an edit costs."""

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.budget import problems, spent
from robeval.domains.ranking.text import inserted, substituted


def test_nothing_is_spent_on_a_clean_batch(pairs: RankingBatch) -> None:
    """An untouched text costs nothing and breaks no constraint."""
    cost = spent(pairs, pairs)
    assert all(value.tolist() == [0.0, 0.0] for value in cost.values())


def test_an_insertion_costs_its_words(pairs: RankingBatch) -> None:
    """Two words in front cost two words and their bytes with blanks, and are an insertion at place 0."""
    cost = spent(pairs, pairs.with_texts(inserted(pairs.texts(), ["red fox", ""], "front")))
    assert cost["words"].tolist() == [2.0, 0.0]
    assert cost["characters"].tolist() == [8.0, 0.0]
    assert cost["insertion_only"].tolist() == [0.0, 0.0]
    assert cost["substitution_only"].tolist() == [2.0, 0.0]
    assert cost["replaced_words"].tolist() == [torch.inf, 0.0]
    assert cost["place"].tolist() == [0.0, 0.0]
    assert cost["new_query_words"].tolist() == [2.0, 0.0]


def test_tokens_are_counted_by_the_tokenizer(pairs: RankingBatch) -> None:
    """An unknown word falls apart into its letters, and each is a token."""
    cost = spent(pairs, pairs.with_texts([f"{pairs.texts()[0]} fast", pairs.texts()[1]]))
    assert cost["tokens"].tolist() == [4.0, 0.0]


def test_a_substitution_is_no_insertion(pairs: RankingBatch) -> None:
    """A replaced word keeps the number of words."""
    changed = [substituted(pairs.texts()[0], {2: "lake"}), pairs.texts()[1]]
    cost = spent(pairs, pairs.with_texts(changed))
    assert cost["words"].tolist() == [1.0, 0.0]
    assert cost["insertion_only"].tolist() == [2.0, 0.0]
    assert cost["substitution_only"].tolist() == [0.0, 0.0]
    assert cost["replaced_words"].tolist() == [1.0, 0.0]


def test_the_place_is_a_share_of_the_words(pairs: RankingBatch) -> None:
    """Behind the last word it is 1, behind the second of nine two ninths."""
    texts = inserted(pairs.texts(), ["x", "x"], "end")
    assert spent(pairs, pairs.with_texts(texts))["place"].tolist() == [1.0, 1.0]
    second = [texts[0], "the red x fox runs . it is fast ."]
    assert spent(pairs, pairs.with_texts(second))["place"].tolist() == pytest.approx([1.0, 2 / 9])


def test_two_insertions_are_not_one(pairs: RankingBatch) -> None:
    """Words put in at both ends break the constraint of one insertion."""
    cost = spent(pairs, pairs.with_texts([f"x {pairs.texts()[0]} y", pairs.texts()[1]]))
    assert cost["insertion_only"].tolist() == [2.0, 0.0]
    assert cost["words"].tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.replace(query=1 - batch.query),
        lambda batch: batch.replace(target=batch.target * 0),
        lambda batch: batch.replace(candidates=batch.candidates.flip(1)),
        lambda batch: batch.replace(grades=batch.grades + 1),
        lambda batch: batch.replace(zone=("x", "y")),
    ],
)
def test_touching_anything_else_costs_infinitely(pairs: RankingBatch, change) -> None:
    """Query, list, target and grades belong to others."""
    assert spent(pairs, change(pairs))["tokens"][0] == torch.inf


def test_a_text_that_is_none_costs_infinitely(pairs: RankingBatch) -> None:
    """Bytes that are no UTF-8 are over every budget, and only in their own row."""
    text = pairs.text.clone()
    text[0, 0] = 255
    broken = pairs.replace(text=text)
    assert spent(pairs, broken)["words"].tolist() == [torch.inf, 0.0]
    assert problems(broken)["the text is not UTF-8 or holds a zero byte"].tolist() == [True, False]


def test_other_examples_are_refused(pairs: RankingBatch) -> None:
    """An attack must return the examples that it was given."""
    with pytest.raises(ValueError, match="other examples"):
        spent(pairs, pairs.select([1, 0]))


def test_problems_of_a_list(pairs: RankingBatch) -> None:
    """A target on padding, an unknown passage and a list of one are each found."""
    bad = pairs.replace(target=torch.tensor([1, 2]))
    assert problems(bad)["the target is not in its candidate list"].tolist() == [False, True]
    unknown = pairs.replace(candidates=torch.tensor([[0, 1, 9], [1, 0, -1]]))
    assert problems(unknown)["a candidate is not in the corpus"].tolist() == [True, False]
    short = pairs.replace(candidates=torch.tensor([[0, 1, 2], [-1, 0, -1]]))
    assert problems(short)["fewer than two candidates to rank"].tolist() == [False, True]
    assert not any(where.any() for where in problems(pairs).values())
