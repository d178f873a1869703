"""The run folder: rows go in and out unchanged, and nothing damaged is believed."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from robeval.errors import UsageError
from robeval.results.records import BudgetRecord, CellRecord, Cost
from robeval.results.store import Rows, RunFolder


def rows(*names: str, **columns: float) -> Rows:
    """Outcomes of some examples."""
    texts = {"example": names, "cluster": names, "group": names, "status": ["ok"] * len(names), "note": names}
    values = {name: np.full(len(names), value) for name, value in columns.items()}
    adversarial = {"point": np.ones((len(names), 2), dtype=np.float32)}
    return Rows(texts, values, adversarial, {"forward": 2.0 * len(names)})


def record(cell: str = "c1") -> CellRecord:
    """A finished cell."""
    return CellRecord(
        id=cell, domain="d", dataset="s", victim="v", attack="a", defense="none", knowledge="adaptive",
        budget=BudgetRecord(name="b", unit="", value=1), seed=0, n=1, invalid=0, status="done", metrics={},
        cost=Cost(forward=0, backward=0, queries=0, seconds=0), verdict="ok", evidence=[],
    )  # fmt: skip


def test_rows_survive_bytes() -> None:
    """Texts, columns, tensors and sums come back as they were, NaN included."""
    back = Rows.from_bytes(rows("é", "b", x=np.nan).to_bytes())
    assert list(back.texts["example"]) == ["é", "b"]
    assert np.isnan(back.columns["x"]).all()
    assert back.adversarial["point"].dtype == np.float32
    assert back.observed == {"forward": 4.0}


def test_joining_keeps_order_and_adds_sums() -> None:
    """Chunks become one table; a column that a chunk lacks is NaN there."""
    joined = Rows.join([rows("a", x=1.0), rows("b", "c", x=2.0, y=3.0)])
    assert list(joined.texts["example"]) == ["a", "b", "c"]
    assert joined.columns["x"].tolist() == [1, 2, 2]
    assert np.isnan(joined.columns["y"][0])
    assert joined.observed["forward"] == 6.0
    table = pq.read_table(io.BytesIO(joined.to_parquet()))
    assert table.column_names[:5] == ["example", "cluster", "group", "status", "note"]


def test_a_chunk_is_found_by_cell_key_and_number(tmp_path: Path) -> None:
    """A chunk of other code (another key) is not this cell's chunk, also after reopening."""
    RunFolder(tmp_path).keep_chunk("c1", "key", 0, rows("a", x=1.0))
    folder = RunFolder(tmp_path)
    found = folder.chunk("c1", "key", 0)
    assert found is not None
    assert found.columns["x"].tolist() == [1.0]
    assert folder.chunk("c1", "other key", 0) is None
    assert folder.chunk("c1", "key", 1) is None


def test_a_damaged_chunk_is_done_again(tmp_path: Path) -> None:
    """A chunk file whose bytes changed is not believed."""
    RunFolder(tmp_path).keep_chunk("c1", "key", 0, rows("a", x=1.0))
    (path,) = (tmp_path / "chunks").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert RunFolder(tmp_path).chunk("c1", "key", 0) is None


def test_a_finished_cell_replaces_its_chunks(tmp_path: Path) -> None:
    """The record and tables stay, the chunks go; a damaged file un-finishes the cell."""
    folder = RunFolder(tmp_path)
    folder.keep_chunk("c1", "key", 0, rows("a", x=1.0))
    folder.keep_cell("key", record(), {"parquet": rows("a", x=1.0).to_parquet()})
    assert list((tmp_path / "chunks").iterdir()) == []
    assert RunFolder(tmp_path).finished("c1", "key") == record()
    assert RunFolder(tmp_path).finished("c1", "other key") is None
    (tmp_path / "examples/c1.parquet").write_bytes(b"")
    assert RunFolder(tmp_path).finished("c1", "key") is None


def test_a_folder_belongs_to_one_experiment(tmp_path: Path) -> None:
    """Another experiment, or a folder of something else, is refused and left alone."""
    RunFolder(tmp_path / "run").claim({"a": 1})
    RunFolder(tmp_path / "run").claim({"a": 1})
    with pytest.raises(UsageError, match="another experiment"):
        RunFolder(tmp_path / "run").claim({"a": 2})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("")
    with pytest.raises(UsageError, match="not a run folder"):
        RunFolder(tmp_path / "mine").claim({"a": 1}, fresh=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        RunFolder(tmp_path / "file").claim({"a": 1})


def test_fresh_forgets_what_was_there(tmp_path: Path) -> None:
    """--fresh takes over the folder with nothing of the old run left."""
    folder = RunFolder(tmp_path)
    folder.claim({"a": 1})
    folder.keep_cell("key", record(), {})
    again = RunFolder(tmp_path)
    again.claim({"a": 2}, fresh=True)
    assert again.finished("c1", "key") is None
    assert RunFolder(tmp_path).finished("c1", "key") is None


def test_what_a_kill_left_is_tidied_up(tmp_path: Path) -> None:
    """Half-written files go, and chunks of a finished cell; chunks of an unfinished one stay."""
    folder = RunFolder(tmp_path)
    with folder.held():
        folder.claim({})
        for cell in ("done", "half"):
            folder.keep_chunk(cell, "key", 0, rows("a", x=1.0))
        chunk = (tmp_path / "chunks/done-00000.safetensors").read_bytes()
        folder.keep_cell("key", record("done"), {})
    (tmp_path / "chunks/done-00000.safetensors").write_bytes(chunk)
    (tmp_path / "cells/.half.json.1234.part").write_bytes(b"{")
    with RunFolder(tmp_path).held():
        left = {
            path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".lock")
        }
    assert left == {"experiment.json", "journal.jsonl", "done.json", "half-00000.safetensors"}
