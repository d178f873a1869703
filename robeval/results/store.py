"""The folder of a run: what is finished, what is half done, and nothing half-written.

runs/<name>/
  run.json                     the experiment, environment and timings
  journal.jsonl                one line per finished chunk and cell
  cells/<id>.json              a CellRecord
  examples/<id>.parquet        one row per example
  artifacts/<id>.safetensors   adversarial tensors, rows as in the Parquet file
  chunks/                      finished chunks of an unfinished cell
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

from robeval.errors import StoreError, UsageError
from robeval.results.files import checksum, file_checksum, write_atomically
from robeval.results.journal import Journal
from robeval.results.records import CellRecord, RunRecord

TEXTS = ("example", "cluster", "group", "status", "note")


@dataclass(frozen=True)
class Rows:
    """Per-example outcomes: texts and numbers by column, one entry per example, and the adversarial tensors.

    `observed` are sums over the examples that the trust checks read.
    """

    texts: Mapping[str, Sequence[str]]
    columns: Mapping[str, np.ndarray]
    adversarial: Mapping[str, np.ndarray]
    observed: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.texts["example"])

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """All examples in order. A column that only some parts have is NaN in the others."""
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        kept = [name for name in parts[0].adversarial if all(name in part.adversarial for part in parts)]
        observed: dict[str, float] = {}
        for part in parts:
            for name, value in part.observed.items():
                observed[name] = observed.get(name, 0.0) + value
        return cls(
            {name: [text for part in parts for text in part.texts[name]] for name in TEXTS},
            {
                name: np.concatenate([part.columns.get(name, np.full(len(part), np.nan)) for part in parts])
                for name in names
            },
            {name: np.concatenate([part.adversarial[name] for part in parts]) for name in kept},
            observed,
        )

    def at(self, places: Sequence[int]) -> Rows:
        """Some examples: texts and numbers only."""
        rows = np.asarray(places, dtype=np.intp)
        return Rows(
            {name: [values[place] for place in places] for name, values in self.texts.items()},
            {name: np.asarray(value)[rows] for name, value in self.columns.items()},
            {},
            {},
        )

    def to_bytes(self) -> bytes:
        """One safetensors document."""
        tensors = {
            f"column.{name}": np.asarray(value, dtype=np.float64) for name, value in self.columns.items()
        }
        tensors |= {f"adversarial.{name}": np.ascontiguousarray(v) for name, v in self.adversarial.items()}
        about = {"texts": json.dumps(dict(self.texts)), "observed": json.dumps(dict(self.observed))}
        return save(tensors, metadata=about)

    @classmethod
    def from_bytes(cls, content: bytes) -> Rows:
        """The inverse of `to_bytes`."""
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        parts: dict[str, dict[str, np.ndarray]] = {"column": {}, "adversarial": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = value
        return cls(
            json.loads(header["texts"]), parts["column"], parts["adversarial"], json.loads(header["observed"])
        )

    def to_parquet(self) -> bytes:
        """The public per-example table."""
        table = pa.table(
            {**{k: list(v) for k, v in self.texts.items()}, **dict(sorted(self.columns.items()))}
        )
        stream = io.BytesIO()
        pq.write_table(table, stream, compression="zstd")
        return stream.getvalue()


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path, writer: int = 0) -> None:
        """Each process that writes has a journal of its own; 0 is the main one."""
        self.path = path
        self.journal = Journal(path / (f"journal.{writer}.jsonl" if writer else "journal.jsonl"))
        self._cells: dict[str, dict[str, Any]] = {}
        self._chunks: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        self._read: dict[Path, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have written since."""
        events: list[dict[str, Any]] = []
        for path in sorted(self.path.glob("journal*.jsonl")):
            size = path.stat().st_size
            if self._read.get(path) != size:
                self._read[path] = size
                events += Journal(path).events()
        for event in sorted(events, key=lambda event: int(event.get("at", 0))):
            self._remember(event)

    def adopt(self, event: dict[str, Any]) -> None:
        """Take in one event that another process has written."""
        self._remember(event)

    def event(self, cell: str) -> dict[str, Any] | None:
        """The journal's line of a finished cell."""
        return self._cells.get(cell)

    def _note(self, event: dict[str, Any]) -> None:
        event = event | {"at": time.time_ns()}
        self.journal.append(event)
        self._remember(event)

    def _remember(self, event: dict[str, Any]) -> None:
        if event["kind"] == "cell":
            self._cells[event["cell"]] = event
        elif event["kind"] == "chunk":
            self._chunks.setdefault((event["cell"], event["key"]), {})[event["chunk"]] = event

    def claim(self, experiment: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Make the folder this experiment's.

        Raises UsageError when it holds another experiment's run or is not a run folder at all.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --out names a folder.")
        marker = self.path / "experiment.json"
        mine = json.dumps(experiment, sort_keys=True, indent=1)
        if marker.is_file() and not fresh:
            if marker.read_text() != mine:
                raise UsageError(
                    f"{self.path} holds the run of another experiment. "
                    "Choose another --out, or add --fresh to replace it."
                )
        elif self.path.exists() and not marker.is_file() and any(self.path.iterdir()):
            raise UsageError(f"{self.path} is not empty and is not a run folder. Choose another --out.")
        if fresh:
            self._forget()
        write_atomically(marker, mine.encode())

    def _forget(self) -> None:
        for path in self.path.glob("journal*.jsonl"):
            path.unlink()
        self._read.clear()
        self._cells.clear()
        self._chunks.clear()
        for folder, ending in (
            ("cells", "json"),
            ("examples", "parquet"),
            ("artifacts", "safetensors"),
            ("chunks", "*"),
        ):
            for path in (self.path / folder).glob(f"*.{ending}"):
                path.unlink()

    def chunk(self, cell: str, key: str, number: int) -> Rows | None:
        """A finished chunk of this very cell, or None."""
        event = self._chunks.get((cell, key), {}).get(number)
        if event is None:
            return None
        path = self.path / event["file"]
        if not path.is_file():
            return None
        content = path.read_bytes()
        return Rows.from_bytes(content) if checksum(content) == event["sum"] else None

    def keep_chunk(self, cell: str, key: str, number: int, rows: Rows) -> None:
        """Store a chunk; on return it survives a kill."""
        name = f"chunks/{cell}-{number:05d}.safetensors"
        total = write_atomically(self.path / name, rows.to_bytes())
        event = {"kind": "chunk", "cell": cell, "key": key, "chunk": number, "file": name, "sum": total}
        self._note(event)

    def finished(self, cell: str, key: str) -> CellRecord | None:
        """The record of this very cell if it is finished and all its files are intact."""
        event = self._cells.get(cell)
        if event is None or event["key"] != key:
            return None
        for name, recorded in event["files"].items():
            path = self.path / name
            if not path.is_file() or file_checksum(path) != recorded:
                return None
        return CellRecord.model_validate_json((self.path / f"cells/{cell}.json").read_bytes())

    def record(self, cell: str, key: str) -> CellRecord | None:
        """The record of a cell as it is, finished or failed; None for another cell of that name."""
        path = self.path / f"cells/{cell}.json"
        if self._cells.get(cell, {}).get("key") not in (key, "failed", "n/a") or not path.is_file():
            return None
        return CellRecord.model_validate_json(path.read_bytes())

    def rows(self, cell: str) -> Rows:
        """The outcomes of a finished cell; without what was observed of it.

        Raises StoreError when they are not there.
        """
        path = self.path / f"examples/{cell}.parquet"
        if not path.is_file():
            raise StoreError(f"{path} is not there: cell '{cell}' is not finished")
        table = pq.read_table(path)
        texts = {name: table.column(name).to_pylist() for name in TEXTS}
        columns = {
            name: np.asarray(table.column(name).to_numpy(), dtype=np.float64)
            for name in table.column_names
            if name not in TEXTS
        }
        artifact = self.path / f"artifacts/{cell}.safetensors"
        adversarial = load(artifact.read_bytes()) if artifact.is_file() else {}
        return Rows(texts, columns, adversarial, {})

    def keep_cell(self, key: str, record: CellRecord, files: Mapping[str, bytes]) -> None:
        """Store a finished cell: its record and `files` (by extension: parquet, safetensors)."""
        folders = {"parquet": "examples", "safetensors": "artifacts"}
        sums = {}
        for ending, folder in folders.items():
            if ending not in files:
                (self.path / folder / f"{record.id}.{ending}").unlink(missing_ok=True)
        for ending, content in files.items():
            name = f"{folders[ending]}/{record.id}.{ending}"
            sums[name] = write_atomically(self.path / name, content)
        name = f"cells/{record.id}.json"
        sums[name] = write_atomically(self.path / name, to_json(record))
        event = {"kind": "cell", "cell": record.id, "key": key, "files": sums}
        self._note(event)
        for path in (self.path / "chunks").glob(f"{record.id}-*.safetensors"):
            path.unlink(missing_ok=True)

    def write_run(self, run: RunRecord) -> None:
        """Write `run.json`."""
        write_atomically(self.path / "run.json", to_json(run))


def to_json(record: CellRecord | RunRecord) -> bytes:
    """The public JSON form."""
    return record.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
