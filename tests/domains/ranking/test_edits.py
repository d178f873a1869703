"""Edit distances against an independent implementation."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robeval.domains.ranking.edits import edit_distance, shared_ends

rows = st.lists(st.integers(0, 3), max_size=8)


def textbook(a: list[int], b: list[int]) -> int:
    """Levenshtein's distance by its definition."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(change, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1]


def padded(lists: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, lists))
    table = torch.tensor([row + [-1] * (width - len(row)) for row in lists], dtype=torch.long)
    return table.reshape(len(lists), width), torch.tensor([len(row) for row in lists])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(rows, rows), min_size=1, max_size=5))
def test_a_batch_of_distances_is_the_textbooks(pairs: list[tuple[list[int], list[int]]]) -> None:
    """Every row has Levenshtein's distance, whatever its neighbours are."""
    first, second = padded([a for a, _ in pairs]), padded([b for _, b in pairs])
    assert edit_distance(*first, *second).tolist() == [textbook(a, b) for a, b in pairs]


def test_shared_ends_do_not_overlap() -> None:
    """In "1 1" against "1 1 1" both ends together are the shorter row."""
    kept = shared_ends(*padded([[1, 1]]), *padded([[1, 1, 1]]))
    assert (kept.front + kept.end).tolist() == [2]
