"""What every ranking dataset shares: the first stage, the splits of the queries, the choice of targets."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.errors import DataError
from robeval.plugins.data import Dataset, Split
from robeval.seeding import Seed
from robeval_datasets.ranking.collection import Collection, Lists, checked, examples, grades_of, targets_of
from robeval_datasets.ranking.first_stage import bm25_lists

Sampler = Literal["easy", "hard", "any"]

DEPTH_HELP = "candidates per query"
TARGETS_HELP = (
    "targets: easy (spread over the lower half of the first stage's list), hard (its end), any (anywhere)"
)
PER_QUERY_HELP = "targets per val or test query"
ROOM_HELP = "bytes that an attack may add to a passage"

_SHARES = (("train", 0.6), ("val", 0.7), ("test", 1.0))


class PassageDataset(Dataset):
    """Base of the ranking datasets: write `collection`.

    A val or test example is one target passage of one query. The train split has the graded passages of every
    training query as targets, so that victims see both sides.
    """

    domain: ClassVar[str] = "ranking"

    seed: int = 0
    depth: int = 100
    targets: str = "easy"
    per_query: int = 5
    room: int = 512

    def __init__(self) -> None:
        super().__init__()
        self._lists: Lists | None = None
        self._collection: Collection | None = None
        self.loader_source = _loader_source()

    @abstractmethod
    def collection(self) -> Collection:
        """Queries, passages and what is known about them. Raises MissingFile or DataError."""

    def load(self, split: Split) -> RankingBatch:
        """All examples of a split.

        Raises MissingFile or DataError with what is wrong and where.
        """
        lists, source = self.lists(), self._read()
        queries = [n for n, name in enumerate(lists.corpus.query_ids) if self._split_of(name) == split]
        # A list of one passage ranks nothing.
        queries = [number for number in queries if len(lists.candidates[number]) > 1]
        if not queries:
            raise DataError(
                f"{type(self).__name__}: no query with two candidates in split '{split}' of "
                f"{len(source.queries)} queries. Give more queries, or change the seed of the split"
            )
        rows = [(query, place) for query in queries for place in self._places(lists, query, split)]
        return examples(lists, rows, self.room)

    def lists(self) -> Lists:
        """The corpus and every query's candidates."""
        if self._lists is None:
            source = self._read()
            number = {name: place for place, name in enumerate(source.passages)}
            corpus = Corpus(
                tuple(source.queries),
                tuple(source.queries.values()),
                tuple(source.passages),
                tuple(source.passages.values()),
                source.qrels,
                source.relevant_from,
            )
            self._lists = Lists(corpus, tuple(self._candidates(source, number)))
        return self._lists

    def _candidates(self, source: Collection, number: dict[str, int]) -> list[tuple[int, ...]]:
        without = [name for name in source.queries if name not in source.runs]
        texts = [source.queries[name] for name in without]
        made = bm25_lists(texts, list(source.passages.values()), self.depth, self.seed) if without else []
        known = dict(zip(without, made, strict=True))
        lists = []
        for name in source.queries:
            given = known.get(name) or [number[passage] for passage in source.runs[name][: self.depth]]
            wanted = [number[passage] for passage in source.targets.get(name, ()) if passage in number]
            lists.append(tuple(dict.fromkeys([*given, *wanted])))
        return lists

    def _places(self, lists: Lists, query: int, split: Split) -> list[int]:
        name = lists.corpus.query_ids[query]
        candidates, grades = lists.candidates[query], grades_of(lists, query)
        if split == "train":
            return _training_targets(grades)
        asked = set(self._read().targets.get(name, ()))
        if asked:
            return [p for p, number in enumerate(candidates) if lists.corpus.passage_ids[number] in asked]
        seed = Seed(self.seed).child("targets", name)
        return targets_of(candidates, grades, self.targets, min(self.per_query, len(candidates)), seed)

    def _split_of(self, query: str) -> str:
        known = self._read().splits.get(query)
        if known is not None:
            return known
        lot = Seed(self.seed).child("split", query).numpy().random()
        return next(name for name, below in _SHARES if lot < below)

    def _read(self) -> Collection:
        if self._collection is None:
            self._collection = checked(self.collection(), type(self).__name__)
        return self._collection


_PER_GRADE = 2


def _training_targets(grades: list[float]) -> list[int]:
    """The first passages of every grade above 0 in the list; the first of all where there is none."""
    chosen = []
    for grade in sorted({grade for grade in grades if grade > 0}, reverse=True):
        chosen += [place for place, value in enumerate(grades) if value == grade][:_PER_GRADE]
    return chosen or [0]


def _loader_source() -> str:
    """A digest of every module beside this one: a change in a helper changes the examples too."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
