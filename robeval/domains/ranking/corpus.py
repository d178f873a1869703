"""The texts behind a ranking batch: queries and passages, shared by all examples of a dataset."""

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Queries and passages by number; batches hold numbers. Two corpora are equal when their texts and ids are.

    What is computed from the texts alone (a vocabulary, token ids, a language model) is kept here by `shared`, so
    that victims, attacks and defenses make it once.
    Raises ValueError when ids and texts differ in number or an id is given twice.
    """

    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    passage_ids: tuple[str, ...]
    passages: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Grades by query id and passage id; a query that is not in it has no judgements."""
    relevant_from: int = 1
    """The lowest grade that counts as relevant where a measure knows only two."""
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for what, ids, texts in (
            ("query", self.query_ids, self.queries),
            ("passage", self.passage_ids, self.passages),
        ):
            if len(ids) != len(texts):
                raise ValueError(f"{len(ids)} {what} ids for {len(texts)} texts")
            if len(set(ids)) != len(ids):
                twice = next(name for number, name in enumerate(ids) if name in ids[:number])
                raise ValueError(f"{what} id '{twice}' is given twice; every {what} needs an id of its own")

    @cached_property
    def digest(self) -> str:
        """Changes when a text or an id does."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.query_ids, self.queries, self.passage_ids, self.passages):
            digest.update(str(len(part)).encode())
            for text in part:
                digest.update(b"\x1f" + text.encode())
        digest.update(json.dumps([self.relevant_from, self.qrels], sort_keys=True).encode())
        return digest.hexdigest()

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` computes from these texts, computed once per `key`."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Corpus) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{len(self.queries)} queries, {len(self.passages)} passages ({self.digest[:8]})"
