"""A collection small enough to check by hand, and rankers whose scores are known exactly."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.ranker import Ranker
from robeval.domains.ranking.text import to_bytes
from robeval.domains.ranking.tokens import Tokenizer, corpus_tokenizer
from robeval.domains.ranking.victims.cross_encoder import CrossEncoder
from robeval.plugins.data import Dataset, Split

ANIMALS = ("fox", "hare", "wolf", "bear")
PLACES = ("wood", "field", "cave", "river")
VERBS = ("runs", "sleeps", "hides")


def passages() -> list[str]:
    """Two sentences of every animal at every place; the verb goes around."""
    return [
        f"the {animal} {VERBS[(a + p) % 3]} in the {place} . the {place} is near and the {animal} knows it ."
        for a, animal in enumerate(ANIMALS)
        for p, place in enumerate(PLACES)
    ]


@pytest.fixture(scope="session")
def zoo() -> Corpus:
    """16 passages; a query per animal and place, whose own passage has grade 2 and the animal's others grade 1."""
    texts = passages()
    names = tuple(f"p{number}" for number in range(len(texts)))
    qrels = {
        f"q{number}": {
            f"p{other}": 2 if other == number else 1
            for other in range(len(texts))
            if other // len(PLACES) == number // len(PLACES)
        }
        for number in range(len(texts))
    }
    queries = tuple(f"{animal} in {place}" for animal in ANIMALS for place in PLACES)
    return Corpus(tuple(qrels), queries, names, tuple(texts), qrels)


def examples(corpus: Corpus, queries: Sequence[int], target: int | None = None) -> RankingBatch:
    """Every query with all passages as its list; the target is its own passage, or place `target`."""
    count = len(corpus.passages)
    places = [number if target is None else target for number in queries]
    grades = torch.tensor(
        [
            [float(corpus.qrels[f"q{q}"].get(f"p{p}", 0)) for p in range(count)]  # type: ignore[union-attr]
            for q in queries
        ]
    )
    return RankingBatch(
        ids=tuple(f"q{q}/p{p}" for q, p in zip(queries, places, strict=True)),
        text=to_bytes([corpus.passages[place] for place in places], 240),
        query=torch.tensor(list(queries)),
        candidates=torch.arange(count).repeat(len(queries), 1),
        target=torch.tensor(places),
        grades=grades,
        zone=("all",) * len(queries),
        corpus=corpus,
    )


class Zoo(Dataset):
    """Trains on all queries, validates on the first eight, tests the rest with the last passage as target."""

    domain = "ranking"

    def __init__(self, corpus: Corpus) -> None:
        super().__init__()
        self.corpus = corpus

    def load(self, split: Split) -> RankingBatch:
        if split == "train":
            return examples(self.corpus, range(16))
        return examples(self.corpus, range(8)) if split == "val" else examples(self.corpus, range(8, 15), 15)


@pytest.fixture
def zoo_data(zoo: Corpus) -> Zoo:
    """The zoo as a dataset."""
    return Zoo(zoo)


@pytest.fixture
def attacked_ones(zoo_data: Zoo) -> RankingBatch:
    """The test examples."""
    batch = zoo_data.split("test")
    assert isinstance(batch, RankingBatch)
    return batch


class CountingWords(Ranker):
    """Scores a text by how many of its words are the query's, less a tenth of its length: computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        return corpus_tokenizer(corpus)

    def text_scores(self, corpus: Corpus, query: Tensor, texts: Sequence[str]) -> Tensor:
        self.asked += len(texts)
        return torch.tensor(
            [
                sum(word in corpus.queries[number].split() for word in text.split()) - 0.1 * len(text.split())
                for number, text in zip(query.tolist(), texts, strict=True)
            ]
        )


@pytest.fixture
def counting() -> CountingWords:
    """The lexical ranker."""
    return CountingWords().eval()


@pytest.fixture
def small(zoo: Corpus) -> CrossEncoder:
    """An untrained cross-encoder of one narrow layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        victim = CrossEncoder(hidden=16, layers=1, vocabulary=256, steps=10)
    victim.prepare(zoo)
    return victim.eval()


@pytest.fixture(scope="session")
def stuffed() -> object:
    """Puts each example's query in front of its target."""

    def made(batch: RankingBatch) -> RankingBatch:
        pairs = zip(batch.query_texts(), batch.texts(), strict=True)
        return batch.with_texts([f"{query} {text}" for query, text in pairs])

    return made
