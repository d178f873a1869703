"""A small world of four topics, and a ranker whose scores are known in closed form."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.domain import RankingDomain
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import to_bytes
from robeval.domains.ranking.tokens import Tokenizer, Tokens, corpus_tokenizer
from robeval.plugins.contracts import Attack
from robeval.plugins.data import Dataset, Split
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed

TOPICS = (
    ("fox", "forest", "burrow", "hunt", "fur"),
    ("sea", "harbour", "sailor", "tide", "anchor"),
    ("bread", "oven", "flour", "baker", "crust"),
    ("engine", "piston", "gear", "valve", "motor"),
)
FRAMES = (
    "the {0} was near the {1} . it had a {2} and some {3} .",
    "a {0} and the {1} are old . the {2} is not a {4} .",
    "some {0} has the {3} . near it was a {1} .",
)
EXTRA = 64
LISTED = 12


class WordRanker(NeuralRanker):
    """The mean over the query's words of how well the best passage word matches, softly; random word vectors."""

    max_length = 48

    def __init__(self, corpus: Corpus, hidden: int = 24) -> None:
        super().__init__()
        self.reader = corpus_tokenizer(corpus)
        table = torch.randn(self.reader.size, hidden, generator=torch.Generator().manual_seed(3))
        self.table = torch.nn.Parameter(torch.nn.functional.normalize(table, dim=1), requires_grad=False)

    def tokenizer(self, corpus: Corpus) -> Tokenizer:
        return self.reader

    @property
    def word_vectors(self) -> Tensor:
        return self.table

    def relevance_from_embeddings(self, query: Tokens, vectors: Tensor, mask: Tensor) -> Tensor:
        match = torch.einsum("rqh,rph->rqp", self.table[query.ids], vectors)
        soft = (8 * match.masked_fill(~mask.unsqueeze(1), -1.0)).exp()
        # Length is divided out, so that a longer text is not better in itself.
        best = (soft.sum(dim=2) / (4 + mask.sum(dim=1, keepdim=True))).log()
        weight = query.mask.float()
        return (best * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)


def world() -> RankingBatch:
    """Eight queries of two words; each has twelve candidates of all topics, the target of another topic."""
    passages = [
        frame.format(*[topic[(turn + k) % 5] for k in range(5)])
        for topic in TOPICS
        for frame in FRAMES
        for turn in range(5)
    ]
    queries = [f"{topic[turn]} {topic[turn + 2]}" for topic in TOPICS for turn in range(2)]
    corpus = Corpus(
        tuple(f"q{n}" for n in range(len(queries))),
        tuple(queries),
        tuple(f"p{n}" for n in range(len(passages))),
        tuple(passages),
        {
            f"q{n}": {f"p{p}": 1 for p in range(len(passages)) if p // 15 == n // 2}
            for n in range(len(queries))
        },
    )
    draw = torch.Generator().manual_seed(0)
    candidates = torch.stack([torch.randperm(len(passages), generator=draw)[:LISTED] for _ in queries])
    own = torch.arange(len(queries)) // 2
    target = ((candidates // 15) != own.unsqueeze(1)).int().argmax(dim=1)
    chosen = candidates.gather(1, target.unsqueeze(1)).squeeze(1).tolist()
    texts = [passages[number] for number in chosen]
    return RankingBatch(
        ids=tuple(f"q{n}/p{p}" for n, p in enumerate(chosen)),
        text=to_bytes(texts, max(map(len, texts)) + EXTRA),
        query=torch.arange(len(queries)),
        candidates=candidates,
        target=target,
        grades=((candidates // 15) == own.unsqueeze(1)).float(),
        zone=("ranks 1-50",) * len(queries),
        corpus=corpus,
    )


class Fixed(Dataset):
    """One batch for every split."""

    domain = "ranking"

    def __init__(self, batch: RankingBatch) -> None:
        super().__init__()
        self.batch = batch

    def load(self, split: Split) -> RankingBatch:
        return self.batch


@pytest.fixture(scope="session", autouse=True)
def quick_trainings() -> Iterator[None]:
    """Language models and warm starts of a few steps: these tests are about the searches on them."""
    from robeval.domains.ranking import language, next_sentence
    from robeval_attacks.ranking import surrogate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "STEPS", 40)
        patch.setattr(next_sentence, "STEPS", 20)
        patch.setattr(surrogate, "START_STEPS", 10)
        yield


@pytest.fixture(scope="session")
def small_world() -> RankingBatch:
    """Eight targets; see `world`. Shared, so that its language models are trained once."""
    return world()


@pytest.fixture(scope="session")
def word_ranker(small_world: RankingBatch) -> WordRanker:
    """A victim in closed form; see `WordRanker`."""
    return WordRanker(small_world.corpus).eval()


@pytest.fixture
def small_data(small_world: RankingBatch) -> Dataset:
    """The small world as a dataset."""
    return Fixed(small_world)


@pytest.fixture(scope="session")
def run_attack() -> Callable[..., Any]:
    """Runs an attack on a ranker as the engine does; preparations are made once."""
    known: dict[Any, Any] = {}

    def run(
        attack: Attack[RankingBatch],
        ranker: NeuralRanker,
        batch: RankingBatch,
        budget: float | None = None,
        seed: int = 0,
        data: RankingBatch | None = None,
    ) -> tuple[RankingBatch, View[RankingBatch]]:
        spend = attack.threat.budget.default if budget is None else budget
        preparation = attack.preparation
        key = (preparation, id(ranker), attack.grant.access)
        if preparation is not None and key not in known:
            train = data or batch
            asked = View(ranker, RankingDomain(), attack.grant, train.ids, total=preparation.queries)
            known[key] = preparation(asked, Fixed(train), Seed(0))
        view = View(ranker, RankingDomain(), attack.grant, batch.ids, prepared=known.get(key))
        with under_attack(ranker):
            found = attack.perturb(view, batch, spend, Seed(seed).draws(batch.ids))
        view.close()
        return found, view

    return run


@pytest.fixture
def spent_of() -> Callable[[RankingBatch, RankingBatch], Mapping[str, Tensor]]:
    """The budget as the domain measures it."""
    return RankingDomain().spent
