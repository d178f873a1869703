"""Throwing out passages that are stuffed with the query's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.ranking.filtered import FalseAlarms, FilteredRanker

Maximum = Literal["passage", "query"]


@dataclass(frozen=True)
class SpamicityFilter(Defense):
    """Throw out passages in which the query's words weigh more than they do in clean ones.

    The suspicion is the sum of the query words' TF-IDF weights in the passage, divided by the number of query words
    and by the largest weight in the passage. It catches stuffing and nothing else: triggers without query words pass.

    Source: Zhou and Pei, "OSD: An Online Web Spam Detection System", KDD 2009, as the code of
    arXiv:2209.06506 applies it.
    Differs: the threshold is calibrated to a rate of false alarms (0.05 in their script); that script divides by the
    largest weight of the query, not of the passage (``maximum=query``); document frequencies are those of the clean
    collection.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    false_alarms: FalseAlarms = 0.05
    maximum: Annotated[Maximum, Field(description="whose largest TF-IDF weight is divided by")] = "passage"

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the calibrated filter."""
        filtered = SpamicityFiltered(victim, self.maximum)
        filtered.calibrate(data, self.false_alarms)
        return filtered


class SpamicityFiltered(FilteredRanker):
    """A ranker behind a threshold of keyword density."""

    reads_query = True

    def __init__(self, victim: nn.Module, maximum: Maximum = "passage") -> None:
        super().__init__(victim)
        self.maximum = maximum

    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """Between 0 (no query word) and, with the passage's maximum, 1 (all of them, each as heavy as any word)."""
        weights = corpus.shared("tf-idf weights", lambda: _Weights(corpus))
        number = query.cpu().numpy()
        queries, passages = weights.queries[number], weights.vectorizer.transform(texts)
        total = np.asarray(passages.multiply(queries > 0).sum(axis=1)).ravel()
        of = passages if self.maximum == "passage" else queries
        largest = np.asarray(of.max(axis=1).todense()).ravel()
        divisor = weights.count[number] * largest
        # Nothing is divided by 0: where no word has a weight the sum is 0 too.
        density = np.divide(total, divisor, out=np.zeros_like(total), where=divisor > 0)
        return torch.from_numpy(density).float().to(query.device)


class _Weights:
    """TF-IDF of a corpus: how words weigh, the queries' rows, and how many different words each query has."""

    def __init__(self, corpus: Corpus) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(corpus.passages)
        self.queries: Any = self.vectorizer.transform(corpus.queries)
        words = self.vectorizer.build_analyzer()
        self.count = np.array([len(set(words(text))) for text in corpus.queries], dtype=float)
