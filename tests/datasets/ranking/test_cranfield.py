"""SMART's format, on a made-up collection and on the real one."""

from pathlib import Path

import pytest

from robeval.errors import DataError, MissingFile
from robeval_datasets.ranking.cranfield import Cranfield

DOCUMENTS = (
    ".I 1\n.T\na title\n.A\nsomebody\n.W\na title\nand a\ntext .\n"
    ".I 2\n.T\n.W\n"
    ".I 3\n.T\nthree\n.W\nmore text\n"
)
QUERIES = ".I 001\n.W\nfirst query\n.I 004\n.W\nsecond\nquery\n"


@pytest.fixture
def small(written):
    """Writes a collection with the given judgements."""

    def make(judged: str = "2 3 1\n1 1 4\n1 3 -1\n", documents: str = DOCUMENTS) -> Cranfield:
        path = written("cran.all.1400", documents)
        written("cran.qry", QUERIES)
        written("cranqrel", judged)
        return Cranfield(folder=str(Path(path).parent))

    return make


def test_records_are_read(small) -> None:
    """Lines of a part are joined, empty documents stay, queries are numbered by their place."""
    found = small().collection()
    assert found.passages == {"1": "a title and a text .", "2": "", "3": "more text"}
    assert found.queries == {"1": "first query", "2": "second query"}


def test_codes_become_grades(small) -> None:
    """Code 1 is the best grade, 4; 4 the least, 1; the rest 0."""
    assert small().collection().qrels == {"1": {"1": 1, "3": 0}, "2": {"3": 4}}


@pytest.mark.parametrize(
    ("documents", "complaint"),
    [
        (DOCUMENTS + ".I 1\n", "'1' comes twice"),
        ("text\n", "line 1: text outside a record"),
        (".W\n", "before the first '.I'"),
    ],
)
def test_mistakes_are_named(small, documents: str, complaint: str) -> None:
    """A document that comes twice and a file that is not SMART's are refused."""
    with pytest.raises(DataError, match=complaint):
        small(documents=documents).collection()


def test_a_missing_folder_says_where_to_get_it(tmp_path: Path) -> None:
    """The message names the file and its source."""
    with pytest.raises(MissingFile, match=r"cran\.tar\.gz"):
        Cranfield(folder=str(tmp_path)).collection()


def test_the_real_collection(cranfield_root: Path) -> None:
    """1 400 abstracts of which two are empty, 225 queries, all judged, every list full."""
    data = Cranfield(folder=str(cranfield_root))
    corpus = data.lists().corpus
    assert (len(corpus.passages), len(corpus.queries), len(corpus.qrels)) == (1400, 225, 225)
    assert [name for name, text in zip(corpus.passage_ids, corpus.passages, strict=True) if not text] == [
        "471",
        "995",
    ]
    assert {len(candidates) for candidates in data.lists().candidates} == {100}
