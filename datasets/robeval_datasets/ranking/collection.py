"""What any source of ranking data comes down to, checked, and how it becomes examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from robeval.domains.ranking.batch import NOBODY, RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.text import to_bytes
from robeval.errors import DataError
from robeval.seeding import Seed

ZONE = 50
"""Ranks per zone, for figures by group."""


@dataclass(frozen=True)
class Collection:
    """Queries and passages by id, and what is known about them."""

    queries: Mapping[str, str]
    passages: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    runs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Candidate passage ids by query id, best first; BM25 makes the missing ones."""
    relevant_from: int = 1
    """The lowest grade that counts as relevant."""
    targets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Target passage ids by query id; a sampler chooses where there are none."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """The split of a query id; a seeded hash decides where there is none."""


@dataclass(frozen=True)
class Lists:
    """Queries with their candidates, as numbers into the corpus."""

    corpus: Corpus
    candidates: tuple[tuple[int, ...], ...]


def checked(collection: Collection, source: str) -> Collection:
    """The same collection. Raises DataError for an empty query or nothing to rank."""
    empty = [name for name, text in collection.queries.items() if not text.strip()]
    if empty:
        raise DataError(f"{source}: query '{empty[0]}' is empty; remove it or give it words")
    if not collection.queries:
        raise DataError(f"{source}: no queries were read")
    if len(collection.passages) < 2:
        raise DataError(f"{source}: {len(collection.passages)} passages were read; a ranking needs two")
    return collection


def targets_of(
    candidates: Sequence[int], grades: Sequence[float], sampler: str, count: int, seed: Seed
) -> list[int]:
    """Places of the targets: passages that should not be promoted, so unjudged or irrelevant ones where there are any.

    ``easy``: one of each `count` equal parts of the list's lower half. ``hard``: the last `count`. ``any``: `count`
    drawn from the whole list.
    """
    places = [place for place in range(len(candidates)) if not grades[place] > 0]
    places = places if len(places) >= count else list(range(len(candidates)))
    if sampler == "hard":
        return places[-count:]
    if sampler == "easy":
        low = [place for place in places if place >= len(candidates) // 2]
        places = low if len(low) >= count else places
        edges = [len(places) * part // count for part in range(count + 1)]
        draws = seed.numpy().random(count)
        return [
            places[first + int(draw * (last - first))]
            for first, last, draw in zip(edges, edges[1:], draws, strict=False)
            if last > first
        ]
    return sorted(seed.numpy().permutation(places)[:count].tolist())


def examples(lists: Lists, rows: Sequence[tuple[int, int]], room: int, prefix: str = "") -> RankingBatch:
    """A batch of (query number, place of the target) pairs."""
    corpus = lists.corpus
    width = max((len(lists.candidates[query]) for query, _ in rows), default=2)
    table = torch.full((len(rows), width), NOBODY, dtype=torch.long)
    for number, (query, _) in enumerate(rows):
        candidates = lists.candidates[query]
        table[number, : len(candidates)] = torch.tensor(candidates, dtype=torch.long)
    passages = [lists.candidates[query][place] for query, place in rows]
    texts = [corpus.passages[number] for number in passages]
    longest = max((len(text.encode()) for text in texts), default=0)
    return RankingBatch(
        ids=tuple(
            f"{prefix}{corpus.query_ids[query]}/{corpus.passage_ids[passage]}"
            for (query, _), passage in zip(rows, passages, strict=True)
        ),
        text=to_bytes(texts, longest + room),
        query=torch.tensor([query for query, _ in rows], dtype=torch.long),
        candidates=table,
        target=torch.tensor([place for _, place in rows], dtype=torch.long),
        grades=_grades(lists, rows, width),
        zone=tuple(_zone(place) for _, place in rows),
        corpus=corpus,
    )


def grades_of(lists: Lists, query: int) -> list[float]:
    """The grades of a query's candidates: 0 where unjudged, NaN without any judgement."""
    judged = lists.corpus.qrels.get(lists.corpus.query_ids[query])
    if judged is None:
        return [float("nan")] * len(lists.candidates[query])
    ids = lists.corpus.passage_ids
    return [float(judged.get(ids[number], 0)) for number in lists.candidates[query]]


def _grades(lists: Lists, rows: Sequence[tuple[int, int]], width: int) -> torch.Tensor:
    known = {query: grades_of(lists, query) for query, _ in rows}
    table = torch.zeros(len(rows), width)
    for number, (query, _) in enumerate(rows):
        table[number, : len(known[query])] = torch.tensor(known[query])
        if known[query] and known[query][0] != known[query][0]:
            table[number] = torch.nan
    return table


def _zone(place: int) -> str:
    first = place // ZONE * ZONE + 1
    return f"ranks {first}-{first + ZONE - 1}"
