"""Untrained victims: what must hold holds before training too."""

import pytest
import torch

from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.victims.bi_encoder import BiEncoder
from robeval.domains.ranking.victims.bm25 import BM25
from robeval.domains.ranking.victims.cross_encoder import CrossEncoder

NEURAL = {"cross-encoder": CrossEncoder, "bi-encoder": BiEncoder}


def small(name: str) -> NeuralRanker:
    torch.manual_seed(0)
    return NEURAL[name](hidden=16, vocabulary=128, max_length=48).eval()


@pytest.fixture(params=sorted(NEURAL))
def neural(request: pytest.FixtureRequest) -> NeuralRanker:
    """Each small neural victim."""
    return small(request.param)


@pytest.fixture(params=[*sorted(NEURAL), "bm25"])
def ranker(request: pytest.FixtureRequest):
    """Each victim that needs no download."""
    return BM25().eval() if request.param == "bm25" else small(request.param)
