"""Any data set of the ir_datasets library."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field

from robeval.errors import DataError, MissingFile, UsageError
from robeval_datasets.ranking.base import (
    DEPTH_HELP,
    PER_QUERY_HELP,
    ROOM_HELP,
    TARGETS_HELP,
    PassageDataset,
    Sampler,
)
from robeval_datasets.ranking.collection import Collection


class IRDatasets(PassageDataset):
    """Queries, passages, judgements and candidates of one id of ir_datasets.

    Where the id has candidates (``scoreddocs``) only those passages are read; otherwise the whole collection is, for
    BM25. The library downloads what it lacks; without `download` that is refused beforehand.

    Source: MacAvaney et al., arXiv:2103.02280.
    """

    def __init__(
        self,
        *,
        id: Annotated[
            str, Field(description="an id of ir_datasets, as in msmarco-passage/trec-dl-2019/judged")
        ],
        download: Annotated[bool, Field(description="let the library fetch what is not on disk yet")] = False,
        relevant_from: Annotated[int, Field(ge=1, description="lowest grade that counts as relevant")] = 1,
        seed: Annotated[int, Field(ge=0, description="how queries are split and targets chosen")] = 0,
        depth: Annotated[int, Field(ge=2, description=DEPTH_HELP)] = 100,
        targets: Annotated[Sampler, Field(description=TARGETS_HELP)] = "easy",
        per_query: Annotated[int, Field(ge=1, description=PER_QUERY_HELP)] = 5,
        room: Annotated[int, Field(ge=0, description=ROOM_HELP)] = 512,
    ) -> None:
        super().__init__()
        self.id, self.download, self.relevant_from = id, download, relevant_from
        self.seed, self.depth, self.targets, self.per_query, self.room = seed, depth, targets, per_query, room

    def collection(self) -> Collection:
        """What the library has under this id. Raises UsageError for an unknown id, MissingFile without `download`."""
        source = self._source()
        queries = {str(query.query_id): _text(query).strip() for query in source.queries_iter()}
        runs = _runs(source.scoreddocs_iter(), self.depth) if source.has_scoreddocs() else {}
        runs = {query: names for query, names in runs.items() if query in queries}
        wanted = {name for names in runs.values() for name in names}
        read = source.docs_store().get_many(wanted).values() if runs else source.docs_iter()
        passages = {str(document.doc_id): _text(document) for document in read}
        missing = wanted - passages.keys()
        if missing:
            raise DataError(f"ir_datasets '{self.id}' lists {len(missing)} passages that it does not hold")
        return Collection(
            {name: text for name, text in queries.items() if not runs or name in runs},
            passages,
            _qrels(source.qrels_iter()) if source.has_qrels() else {},
            runs,
            self.relevant_from,
        )

    def _source(self) -> Any:
        import ir_datasets

        try:
            source = ir_datasets.load(self.id)
        except KeyError:
            raise UsageError(
                f"ir_datasets has no data set '{self.id}'. See https://ir-datasets.com for all ids"
            ) from None
        for part in ("docs", "queries"):
            if not getattr(source, f"has_{part}")():
                raise UsageError(f"ir_datasets '{self.id}' has no {part}; take an id that has both")
        if not self.download and not _is_here(ir_datasets, self.id):
            raise MissingFile(
                ir_datasets.util.home_path() / self.id.split("/")[0],
                f"ir_datasets would download '{self.id}'. Allow it: dataset ir-datasets:id={self.id},download=true",
            )
        return source


def _is_here(library: Any, name: str) -> bool:
    """Whether the library has fetched anything of this collection before."""
    folder = library.util.home_path() / name.split("/")[0]
    return folder.is_dir() and any(folder.iterdir())


def _text(record: Any) -> str:
    """The record's default text, where the library defines one."""
    text = record.default_text() if hasattr(record, "default_text") else record.text
    return str(text).replace("\0", " ")


def _runs(rows: Iterable[Any], depth: int) -> dict[str, Sequence[str]]:
    scored: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        scored.setdefault(str(row.query_id), []).append((-float(row.score), str(row.doc_id)))
    return {query: [name for _, name in sorted(found)[:depth]] for query, found in scored.items()}


def _qrels(rows: Iterable[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(str(row.query_id), {})[str(row.doc_id)] = max(int(row.relevance), 0)
    return found
