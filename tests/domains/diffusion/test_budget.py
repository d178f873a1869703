"""What an attack on a prompt really spent."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robeval.domains.diffusion import budget, tokens
from robeval.domains.diffusion.batch import PromptBatch


def levenshtein(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """The textbook recursion."""

    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = first[i - 1] == second[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (not same))

    return distance(len(first), len(second))


WORDS = st.lists(st.integers(2, 5), max_size=6).map(tuple)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_distances_equal_the_textbook(pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """Edit distance is Levenshtein's; insertions equal it exactly where all own words are kept."""
    before, after = (
        torch.tensor([list(pair[side]) + [-1] * (7 - len(pair[side])) for pair in pairs]) for side in (0, 1)
    )
    wanted = [levenshtein(*pair) for pair in pairs]
    assert budget.edit_distance(before, after).tolist() == wanted
    for (first, second), found in zip(pairs, budget.insertions(before, after).tolist(), strict=True):
        rest = iter(second)
        kept = all(word in rest for word in first)
        assert found == (len(second) - len(first) if kept else math.inf)


def test_a_prefix_costs_its_tokens(prompts: PromptBatch) -> None:
    """Two tokens in front cost two tokens and two edits; embeddings and seeds are not what was spent."""
    words = tokens.encoded(tokens.SHAPES, ("blue house",))[:, 1:3].expand(len(prompts), -1)
    found = budget.spent(
        prompts, prompts.replace(tokens=tokens.inserted(tokens.SHAPES, prompts.tokens, words))
    )
    assert found["tokens"].tolist() == [2.0] * len(prompts)
    assert found["edits"].tolist() == [2.0] * len(prompts)
    assert found["embeddings"].isinf().all()
    assert found["seeds"].isinf().all()


def test_nothing_changed_costs_nothing(prompts: PromptBatch) -> None:
    """The clean batch has spent 0 of everything."""
    assert all((value == 0).all() for value in budget.spent(prompts, prompts).values())


def test_text_is_what_counts(prompts: PromptBatch) -> None:
    """Ids that decode to other words than they stand for are charged as the victim reads them."""
    vocabulary = tokens.tokenizer_named(tokens.SHAPES).get_vocab()
    word = tokens.encoded(tokens.SHAPES, ("ball",))[:, 1:2]
    letters = torch.tensor([[vocabulary[letter] for letter in "bal"] + [vocabulary["l</w>"]]])
    one = prompts.select(slice(0, 1))
    spelled = one.replace(tokens=tokens.inserted(tokens.SHAPES, one.tokens, letters))
    assert spelled.as_text().tokens[0, 1] == word.item()
    assert budget.spent(one, spelled)["tokens"].item() == 1


def test_losing_an_own_word_is_no_insertion(prompts: PromptBatch) -> None:
    """A prompt that is cut off at its end has infinitely many tokens, and a finite edit distance."""
    long = prompts.with_text(("red " * 12 + "circle",) * len(prompts))
    words = tokens.encoded(tokens.SHAPES, ("blue house",))[:, 1:3].expand(len(prompts), -1)
    found = budget.spent(long, long.replace(tokens=tokens.inserted(tokens.SHAPES, long.tokens, words)))
    assert found["tokens"].isinf().all()
    assert found["edits"].isfinite().all()


def test_soft_slots_and_seeds_have_measures_of_their_own(prompts: PromptBatch) -> None:
    """Soft slots cost embeddings only, another seed costs one seed only."""
    soft = prompts.soft.clone()
    soft[:, :3] = 0.1
    found = budget.spent(prompts, prompts.replace(soft=soft))
    assert found["embeddings"].tolist() == [3.0] * len(prompts)
    assert found["tokens"].isinf().all()
    found = budget.spent(prompts, prompts.replace(seed=prompts.seed + 1))
    assert found["seeds"].tolist() == [1.0] * len(prompts)
    assert found["tokens"].isinf().all()


@pytest.mark.parametrize("field", ["image", "labels", "targeted", "concept", "detector", "threshold"])
def test_what_is_not_the_attackers_costs_infinitely(prompts: PromptBatch, field: str) -> None:
    """Touching picture, labels, concept or detector is over every budget."""
    changes = {
        "image": 1 - prompts.image,
        "labels": prompts.labels + 1,
        "targeted": ~prompts.targeted,
        "concept": ("square",) * len(prompts),
        "detector": "mine",
        "threshold": 0.99,
    }
    found = budget.spent(prompts, prompts.replace(**{field: changes[field]}))
    assert all(value.isinf().all() for value in found.values())


def test_other_examples_are_refused(prompts: PromptBatch) -> None:
    """Batches of different examples cannot be compared."""
    with pytest.raises(ValueError, match="other examples"):
        budget.spent(prompts, prompts.select(torch.arange(len(prompts)).flip(0)))


def test_problems_are_found_where_they_are(prompts: PromptBatch) -> None:
    """Unknown ids, a missing end and NaN embeddings are named for their rows only."""
    assert not any(value.any() for value in budget.problems(prompts).values())
    ids, soft = prompts.tokens.clone(), prompts.soft.clone()
    ids[0, 3] = 100_000
    ids[1] = ids[1, 1]
    soft[2, 0, 0] = torch.nan
    found = budget.problems(prompts.replace(tokens=ids, soft=soft))
    assert [value.nonzero().flatten().tolist() for value in found.values()] == [[0], [1], [2]]
