"""The lexical victim against bm25s."""

import numpy as np
import torch

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.victims.bm25 import BM25


def test_scores_are_those_of_the_library(foxes: Corpus) -> None:
    """On clean passages it agrees with bm25s, Lucene's variant, up to its constant factor."""
    import bm25s

    words = [[w for w in text.split() if w.isalnum()] for text in foxes.passages]
    index = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
    index.index(words, show_progress=False)
    for number, query in enumerate(foxes.queries):
        wanted = np.asarray(index.get_scores(query.split()))
        found = BM25().text_scores(foxes, torch.full((4,), number), list(foxes.passages))
        assert np.allclose(found.numpy(), wanted, atol=1e-5)


def test_repeating_a_query_word_pays_less_each_time(foxes: Corpus) -> None:
    """Scores rise with every copy, by less and less."""
    texts = ["fox", "fox fox", "fox fox fox"]
    one, two, three = BM25(b=0.0).text_scores(foxes, torch.zeros(3, dtype=torch.long), texts).tolist()
    assert three > two > one
    assert three - two < two - one


def test_unknown_words_score_nothing(foxes: Corpus) -> None:
    """Words that the corpus does not have match nothing, not even each other."""
    strange = Corpus(("q",), ("zebra fox",), foxes.passage_ids, foxes.passages)
    assert BM25().text_scores(strange, torch.tensor([0]), ["zebra zebra"]).item() == 0
