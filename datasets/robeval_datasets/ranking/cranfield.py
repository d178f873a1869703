"""The Cranfield collection in SMART's format."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from robeval.errors import DataError, MissingFile
from robeval_datasets.ranking.base import (
    DEPTH_HELP,
    PER_QUERY_HELP,
    ROOM_HELP,
    TARGETS_HELP,
    PassageDataset,
    Sampler,
)
from robeval_datasets.ranking.collection import Collection
from robeval_datasets.ranking.files import lines_of, qrels_of

_FILES = ("cran.all.1400", "cran.qry", "cranqrel")
_HELP = (
    "Cranfield's three files (cran.all.1400, cran.qry, cranqrel) come as cran.tar.gz from SMART's archive."
)
_WORST = 5


class Cranfield(PassageDataset):
    """1 400 abstracts on aerodynamics, 225 queries, judged in full; two abstracts are empty.

    Judgements number the queries by their place in the file, not by their ``.I``. Their codes run from 1 (a complete
    answer) to 4 (of minimum interest), so the grade is 5 - code, and 0 for the rest.

    Source: Cleverdon, Mills, Keen, 1966; the files of SMART.
    """

    def __init__(
        self,
        *,
        folder: Annotated[str, Field(description="folder with cran.all.1400, cran.qry and cranqrel")],
        title: Annotated[bool, Field(description="put the title in front where the text lacks it")] = False,
        relevant_from: Annotated[int, Field(ge=1, le=4, description="lowest relevant grade")] = 1,
        seed: Annotated[int, Field(ge=0, description="how queries are split and targets chosen")] = 0,
        depth: Annotated[int, Field(ge=2, description=DEPTH_HELP)] = 100,
        targets: Annotated[Sampler, Field(description=TARGETS_HELP)] = "easy",
        per_query: Annotated[int, Field(ge=1, description=PER_QUERY_HELP)] = 5,
        room: Annotated[int, Field(ge=0, description=ROOM_HELP)] = 512,
    ) -> None:
        super().__init__()
        self.folder, self.title, self.relevant_from = folder, title, relevant_from
        self.seed, self.depth, self.targets, self.per_query, self.room = seed, depth, targets, per_query, room

    def files(self) -> Sequence[Path]:
        """The three files. Raises MissingFile."""
        paths = [Path(self.folder) / name for name in _FILES]
        for path in paths:
            if not path.is_file():
                raise MissingFile(path, _HELP)
        return paths

    def collection(self) -> Collection:
        """The abstracts, the queries by their place in the file, and the grades. Raises MissingFile or DataError."""
        documents, asked, judged = self.files()
        passages: dict[str, str] = {}
        for name, parts in _records(documents):
            if name in passages:
                raise DataError(f"{documents}: document '{name}' comes twice")
            title, text = parts.get("T", ""), parts.get("W", "")
            passages[name] = f"{title} {text}".strip() if self.title and not text.startswith(title) else text
        queries = {
            str(place): parts.get("W", "") for place, (_, parts) in enumerate(_records(asked), start=1)
        }
        return Collection(queries, passages, _grades(judged, queries), relevant_from=self.relevant_from)


def _records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Records of SMART: ``.I id``, then parts that begin with a dot and a letter, each joined to one line."""
    name, part = "", ""
    parts: dict[str, str] = {}
    for number, line in lines_of(path, _HELP):
        if line.startswith(".I"):
            if name:
                yield name, parts
            name, parts, part = line[2:].strip(), {}, ""
            if not name:
                raise DataError(f"{path}, line {number}: a record without a number")
        elif len(line.strip()) == 2 and line[0] == "." and line[1].isupper():
            part = line[1]
            if not name:
                raise DataError(
                    f"{path}, line {number}: '{line}' before the first '.I'; is this a SMART file?"
                )
        elif not part:
            raise DataError(f"{path}, line {number}: text outside a record: {line[:60]!r}")
        else:
            parts[part] = f"{parts.get(part, '')} {line.strip()}".strip()
    if name:
        yield name, parts


def _grades(path: Path, queries: dict[str, str]) -> dict[str, dict[str, int]]:
    """Codes 1-4 as grades 4-1; everything else 0."""
    coded = qrels_of(path, queries)
    return {
        query: {name: _WORST - code if 1 <= code < _WORST else 0 for name, code in codes.items()}
        for query, codes in coded.items()
    }
