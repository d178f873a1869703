"""The ir_datasets library as a source, on a data set of its own kind made here: nothing is fetched."""

from pathlib import Path

import pytest

from robeval.errors import MissingFile, UsageError
from robeval_datasets.ranking.tsv import TSV

ir_datasets = pytest.importorskip("ir_datasets", reason="the extra ir-datasets is not installed")

from robeval_datasets.ranking.ir_datasets_source import IRDatasets  # noqa: E402


@pytest.fixture
def known(texts, written, tmp_path: Path, monkeypatch) -> dict[str, str]:
    """Twenty queries, forty passages and judgements under the id `toy/words`, on disk as the library keeps them."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "toy").mkdir(parents=True)
    (tmp_path / "home" / "toy" / "docs").write_text("here\n")
    files = texts | {"qrels": written("qrels", "q1 0 p1 2\nq2 0 p2 1\nq2 0 p22 1\n")}
    made = ir_datasets.create_dataset(files["passages"], files["queries"], files["qrels"])
    registry = ir_datasets.registry
    registry.register("toy/words", made)
    yield files
    registry._registered.pop("toy/words", None)


def test_an_id_gives_what_its_files_give(known: dict[str, str]) -> None:
    """Lists, texts and judgements are those of the same files read as TSV."""
    found = IRDatasets(id="toy/words", depth=10).lists()
    plain = TSV(queries=known["queries"], passages=known["passages"], qrels=known["qrels"], depth=10).lists()
    assert found.corpus.queries == plain.corpus.queries
    assert found.corpus.passages == plain.corpus.passages
    assert found.corpus.qrels == plain.corpus.qrels == {"q1": {"p1": 2}, "q2": {"p2": 1, "p22": 1}}
    assert found.candidates == plain.candidates


def test_the_splits_hold_targets_of_their_lists(known: dict[str, str]) -> None:
    """Every target is one of its candidates, and no query is in two splits."""
    data = IRDatasets(id="toy/words", depth=20, targets="any", per_query=2)
    splits = [data.split(split) for split in ("train", "val", "test")]
    for batch in splits:
        assert (batch.candidates.gather(1, batch.target.unsqueeze(1)).squeeze(1) == batch.passage).all()
    queries = [set(batch.query.tolist()) for batch in splits]
    assert len(set().union(*queries)) == sum(map(len, queries))


def test_an_unknown_id_is_said(known: dict[str, str]) -> None:
    """With the place where all ids are listed."""
    with pytest.raises(UsageError, match=r"no data set 'toy/nothing'.*ir-datasets\.com"):
        IRDatasets(id="toy/nothing").lists()


def test_nothing_is_fetched_without_leave(monkeypatch, tmp_path: Path) -> None:
    """A known id that is not on disk is refused with the option that allows the download."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "empty"))
    with pytest.raises(MissingFile, match="download=true"):
        IRDatasets(id="vaswani").lists()
