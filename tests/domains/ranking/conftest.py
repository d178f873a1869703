"""A corpus small enough to check by hand."""

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.text import to_bytes

PASSAGES = (
    "the red fox runs . it is fast .",
    "a blue sea is deep .",
    "the fox sleeps near the sea .",
    "",
)


@pytest.fixture
def foxes() -> Corpus:
    """Two queries, four passages (one empty), the first query judged."""
    return Corpus(
        ("q1", "q2"),
        ("red fox", "blue sea"),
        ("a", "b", "c", "d"),
        PASSAGES,
        {"q1": {"a": 2, "c": 1}},
    )


@pytest.fixture
def pairs(foxes: Corpus) -> RankingBatch:
    """q1 with target b of three candidates; q2 with target a of two."""
    return RankingBatch(
        ids=("q1/b", "q2/a"),
        text=to_bytes([PASSAGES[1], PASSAGES[0]], 96),
        query=torch.tensor([0, 1]),
        candidates=torch.tensor([[0, 1, 2], [1, 0, -1]]),
        target=torch.tensor([1, 1]),
        grades=torch.tensor([[2.0, 0.0, 1.0], [torch.nan, torch.nan, torch.nan]]),
        zone=("ranks 1-50", "ranks 1-50"),
        corpus=foxes,
    )
