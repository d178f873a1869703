"""Queries and passages from the files of MS MARCO and TREC."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from robeval.errors import MissingFile
from robeval_datasets.ranking.base import (
    DEPTH_HELP,
    PER_QUERY_HELP,
    ROOM_HELP,
    TARGETS_HELP,
    PassageDataset,
    Sampler,
)
from robeval_datasets.ranking.collection import Collection
from robeval_datasets.ranking.files import qrels_of, runs_of, tab_text, texts_of

RELEVANT_HELP = "lowest grade that counts as relevant"


class TSV(PassageDataset):
    """Queries and passages as ``id<TAB>text``, with optional judgements, candidates and targets.

    Without qrels nothing can be trained and nDCG does not apply; without a run BM25 makes the candidates.

    Source: the file formats of MS MARCO (arXiv:1611.09268) and trec_eval.
    """

    def __init__(
        self,
        *,
        queries: Annotated[str, Field(description="file: query id<TAB>text")],
        passages: Annotated[str, Field(description="file: passage id<TAB>text")],
        qrels: Annotated[str | None, Field(description="file: query 0 passage grade")] = None,
        run: Annotated[str | None, Field(description="candidates: query Q0 passage rank score tag")] = None,
        chosen: Annotated[
            str | None, Field(description="targets: query passage [rank score]; a sampler chooses otherwise")
        ] = None,
        relevant_from: Annotated[int, Field(ge=1, description=RELEVANT_HELP)] = 1,
        seed: Annotated[int, Field(ge=0, description="how queries are split and targets chosen")] = 0,
        depth: Annotated[int, Field(ge=2, description=DEPTH_HELP)] = 100,
        targets: Annotated[Sampler, Field(description=TARGETS_HELP)] = "easy",
        per_query: Annotated[int, Field(ge=1, description=PER_QUERY_HELP)] = 5,
        room: Annotated[int, Field(ge=0, description=ROOM_HELP)] = 512,
    ) -> None:
        super().__init__()
        self.queries, self.passages, self.qrels, self.run, self.chosen = queries, passages, qrels, run, chosen
        self.relevant_from = relevant_from
        self.seed, self.depth, self.targets, self.per_query, self.room = seed, depth, targets, per_query, room

    def files(self) -> Sequence[Path]:
        """All that are given. Raises MissingFile."""
        given = (self.queries, self.passages, self.qrels, self.run, self.chosen)
        paths = [Path(name) for name in given if name is not None]
        for path in paths:
            if not path.is_file():
                raise MissingFile(path, "It is a file of the ranking dataset that you named.")
        return paths

    @staticmethod
    def texts(path: Path) -> dict[str, str]:
        """The texts of a file by id."""
        return texts_of(path, tab_text)

    def collection(self) -> Collection:
        """What the files hold. Raises MissingFile or DataError with file and line."""
        self.files()
        queries, passages = self.texts(Path(self.queries)), self.texts(Path(self.passages))
        return Collection(
            queries,
            passages,
            qrels_of(Path(self.qrels), queries) if self.qrels else {},
            runs_of(Path(self.run), queries, passages) if self.run else {},
            self.relevant_from,
            runs_of(Path(self.chosen), queries, passages) if self.chosen else {},
        )
