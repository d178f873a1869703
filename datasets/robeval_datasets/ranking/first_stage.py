"""The candidates that a victim re-ranks: BM25 by bm25s, or a run that the user brings."""

from collections.abc import Sequence

import numpy as np

from robeval.seeding import Seed

K1, B = 0.9, 0.4
"""Anserini's defaults."""


def bm25_lists(queries: Sequence[str], passages: Sequence[str], depth: int, seed: int = 0) -> list[list[int]]:
    """Passage numbers by falling BM25 score, `depth` per query (fewer where there are fewer passages).

    Where fewer passages share a word with the query, the list is filled up with others drawn at random.
    """
    import bm25s

    depth = min(depth, len(passages))
    words = bm25s.tokenize([*passages, *queries], stopwords="en", show_progress=False, return_ids=False)
    index = bm25s.BM25(k1=K1, b=B)
    index.index(words[: len(passages)], show_progress=False)
    found, scores = index.retrieve(words[len(passages) :], k=depth, show_progress=False, sorted=True)
    draw = Seed(seed).child("first stage")
    return [
        _filled(numbers[values > 0].tolist(), depth, len(passages), draw.child(query))
        for query, numbers, values in zip(queries, np.asarray(found), np.asarray(scores), strict=True)
    ]


def _filled(found: list[int], depth: int, passages: int, seed: Seed) -> list[int]:
    """The list, filled up to `depth` with passages that it does not hold."""
    if len(found) >= depth:
        return found
    rest = np.setdiff1d(np.arange(passages), found)
    more: list[int] = seed.numpy().permutation(rest)[: depth - len(found)].tolist()
    return found + more
