"""The formats of MS MARCO, TREC and Anserini, and what is said when they are wrong."""

import json

import pytest

from robeval.errors import DataError, MissingFile
from robeval_datasets.ranking.jsonl import JSONLines
from robeval_datasets.ranking.tsv import TSV


def test_texts_and_judgements_are_read(texts, written) -> None:
    """Grades stand beside the candidates they belong to; negative ones are 0; queries without any are NaN."""
    data = TSV(**texts, qrels=written("qrels", "q1 0 p1 2\nq1 0 p21 -1\nq99 0 p1 3\n"), depth=10)
    lists = data.lists()
    assert lists.corpus.qrels == {"q1": {"p1": 2, "p21": 0}}
    batches = [data.split(split) for split in ("train", "val", "test")]
    judged = [row for batch in batches for row in batch.grades.tolist() if row[0] == row[0]]
    assert {max(row) for row in judged} == {2.0}
    assert any(batch.grades.isnan().any() for batch in batches)


def test_without_judgements_there_are_lists(texts) -> None:
    """Missing qrels leave NaN grades, and an empty passage can be a target like any other."""
    data = TSV(**texts, depth=40, targets="any", per_query=40)
    batch = data.split("test")
    assert batch.grades.isnan().all()
    assert "" in batch.texts()
    assert batch.with_texts(["x" * 400] * len(batch)).texts()[0] == "x" * 400


def test_bm25_puts_the_matching_passage_first(texts) -> None:
    """Query n shares both its words with passage n."""
    lists = TSV(**texts, depth=5).lists()
    assert [lists.candidates[n][0] for n in range(1, 20)] == list(range(1, 20))


def test_a_run_replaces_the_first_stage(texts, written) -> None:
    """Candidates come in the order of their ranks, for the queries that the run has."""
    run = written("run", "q3 Q0 p9 2 1.0 x\nq3 Q0 p8 1 2.0 x\nq3 Q0 p7 3 0.5 x\n")
    lists = TSV(**texts, run=run, depth=2).lists()
    assert lists.candidates[3] == (8, 9)
    assert len(lists.candidates[4]) == 2


def test_chosen_targets_are_taken(texts, written) -> None:
    """A target file names the passages to attack; they join the list if they were not in it."""
    data = TSV(
        **texts, chosen=written("targets", "\n".join(f"q{n}\tp0\t40\t0.1" for n in range(20))), depth=5
    )
    assert {name.split("/")[1] for name in data.split("test").ids} == {"p0"}


@pytest.mark.parametrize(
    ("option", "text", "complaint"),
    [
        ("passages", "p1\tone\np1\ttwo\n", "line 2: id 'p1' was there before"),
        ("passages", "p1 one\n", "line 1: expected id<TAB>text"),
        ("queries", "q1\t\n", "query 'q1' is empty"),
        ("queries", "", "is empty"),
        ("qrels", "q1 0 p1 good\n", "line 1: expected 'query 0 passage grade'"),
        ("qrels", "z 0 p1 1\n", "judges none of the 20 queries"),
        ("run", "q1 Q0 nowhere 1 1.0 x\n", "line 1: passage 'nowhere' is not in the collection"),
        ("run", "q1 Q0 p1 1 1.0 x\nq1 Q0 p1 2 0.5 x\n", "passage 'p1' is listed twice for query 'q1'"),
        ("run", "q1 Q0 p1 first 1.0 x\n", "the rank is no number: 'first'"),
    ],
)
def test_mistakes_are_named_with_their_line(texts, written, option: str, text: str, complaint: str) -> None:
    """Duplicate ids, malformed lines, unknown passages: each says what and where."""
    with pytest.raises(DataError, match=complaint):
        TSV(**{**texts, option: written(f"bad-{option}", text)}).lists()


def test_a_missing_file_is_named(texts) -> None:
    """A path that is not there is said before anything is read."""
    with pytest.raises(MissingFile, match="no-such"):
        TSV(**{**texts, "passages": "no-such"}).lists()


def test_json_lines_hold_the_same(texts, written) -> None:
    """The same texts as JSON lines make the same corpus."""
    plain = TSV(**texts).lists().corpus
    files = {}
    for option, ids, contents in (
        ("queries", plain.query_ids, plain.queries),
        ("passages", plain.passage_ids, plain.passages),
    ):
        rows = zip(ids, contents, strict=True)
        lines = "\n".join(json.dumps({"id": name, "contents": text}) for name, text in rows)
        files[option] = written(f"{option}.jsonl", lines)
    assert JSONLines(**files).lists().corpus == plain


def test_a_broken_json_line_is_named(texts, written) -> None:
    """The line that is no JSON, or lacks a field, is shown."""
    with pytest.raises(DataError, match="line 1: no JSON"):
        JSONLines(queries=written("q", "{"), passages=texts["passages"]).lists()
    with pytest.raises(DataError, match=r'line 1: expected \{"id"'):
        JSONLines(queries=written("q", '{"id": 1}'), passages=texts["passages"]).lists()


def test_changed_files_change_the_fingerprint(texts, written) -> None:
    """Another passage is another dataset."""
    before = TSV(**texts).fingerprint()
    written("passages.tsv", "p1\tother\np2\ttexts\n")
    assert TSV(**texts).fingerprint() != before
