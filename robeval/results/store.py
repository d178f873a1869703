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

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load

from robeval.errors import StoreError, UsageError
from robeval.results.files import checksum, file_checksum, write_atomically
from robeval.results.journal import Journal
from robeval.results.lock import NAMES, held
from robeval.results.places import mirror_of, shown
from robeval.results.records import CellRecord, RunRecord
from robeval.results.rows import TEXTS as TEXTS
from robeval.results.rows import Rows as Rows

MEASURED = "measured."
"""Columns of what an attack measured of itself."""
SEGMENT_BYTES = 64 * 1024
"""At a URL a journal can only be replaced as a whole, so it is begun anew when it is so long."""


class RunFolder:
    """One run on disk; in a mirror, whatever is written is sent to its URL at once."""

    def __init__(self, path: Path, writer: int = 0) -> None:
        """Each process that writes has a journal of its own; 0 is the main one."""
        self.path, self.writer = path, writer
        self.mirror = mirror_of(path)
        self.journal = self._new_journal()
        self._cells: dict[str, dict[str, Any]] = {}
        self._chunks: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        self._read: dict[Path, int] = {}
        self.refresh()

    def _new_journal(self) -> Journal:
        if self.mirror is None:
            return Journal(self.path / (f"journal.{self.writer}.jsonl" if self.writer else "journal.jsonl"))
        # Writers on several machines must not replace each other's.
        return Journal(self.path / f"journal.{self.writer}-{uuid.uuid4().hex[:12]}.jsonl")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one process that writes here, and know all that others wrote before.

        Raises UsageError, which names the holder, when another process has it.
        """
        if self.mirror is None:
            self._check_is_run_folder()  # a folder of somebody else's gets no lock of ours
        with held(self.path, self.mirror):
            if self.mirror is not None:
                self.mirror.update()
                self._forget_events()
            self.refresh()
            self._tidy()
            yield

    def _tidy(self) -> None:
        """Remove what a kill left: half-written files, and chunks of cells that are finished."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)
        done = [(cell, event["key"]) for cell, event in self._cells.items()]
        names = {event["file"] for place in done for event in self._chunks.get(place, {}).values()}
        self._remove([self.path / name for name in names if (self.path / name).is_file()])

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
        """Take in one event that another process has written, perhaps on another machine."""
        for name, recorded in event["files"].items():
            if not self._has(name, recorded):
                self._fetched(name, recorded)
        self._remember(event)

    def _has(self, name: str, recorded: str) -> bool:
        path = self.path / name
        return path.is_file() and file_checksum(path) == recorded

    def _fetched(self, name: str, recorded: str) -> bool:
        if self.mirror is None:
            return False
        self.mirror.fetch([self.mirror.name(self.path / name)])
        return self._has(name, recorded)

    def event(self, cell: str) -> dict[str, Any] | None:
        """The journal's line of a finished cell."""
        return self._cells.get(cell)

    def _note(self, event: dict[str, Any]) -> None:
        event = event | {"at": time.time_ns()}
        self.journal.append(event)
        self._remember(event)
        if self.mirror is not None:
            content = self.journal.path.read_bytes()
            self.mirror.send(self.journal.path, content)
            if len(content) > SEGMENT_BYTES:
                self.journal = self._new_journal()

    def _remember(self, event: dict[str, Any]) -> None:
        if event["kind"] == "cell":
            self._cells[event["cell"]] = event
        elif event["kind"] == "chunk":
            self._chunks.setdefault((event["cell"], event["key"]), {})[event["chunk"]] = event

    def _check_is_run_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --out names a folder.")
        if (self.path / "experiment.json").is_file() or not self.path.exists():
            return
        if any(path.name not in NAMES for path in self.path.iterdir()):
            where = shown(self.path)
            raise UsageError(f"{where} is not empty and is not a run folder. Choose another --out.")

    def claim(self, experiment: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Make the folder this experiment's.

        Raises UsageError when it holds another experiment's run or is not a run folder at all.
        """
        self._check_is_run_folder()
        marker = self.path / "experiment.json"
        mine = json.dumps(experiment, sort_keys=True, indent=1)
        if fresh:
            self._forget()
        elif marker.is_file() and marker.read_text() != mine:
            raise UsageError(
                f"{shown(self.path)} holds the run of another experiment. "
                "Choose another --out, or add --fresh to replace it."
            )
        self._write("experiment.json", mine.encode())

    def _forget_events(self) -> None:
        self._read.clear()
        self._cells.clear()
        self._chunks.clear()

    def _forget(self) -> None:
        gone = list(self.path.glob("journal*.jsonl"))
        for folder, ending in (
            ("cells", "json"),
            ("examples", "parquet"),
            ("artifacts", "safetensors"),
            ("chunks", "*"),
        ):
            gone += (self.path / folder).glob(f"*.{ending}")
        self._remove(gone)
        self._forget_events()

    def _write(self, name: str, content: bytes, *, final: bool = False) -> str:
        """A file as a whole, here and at the URL; returns its checksum."""
        total = write_atomically(self.path / name, content)
        if self.mirror is not None:
            self.mirror.send(self.path / name, content, final=final)
        return total

    def _remove(self, paths: Iterable[Path]) -> None:
        if self.mirror is not None:
            self.mirror.remove(paths)
            return
        for path in paths:
            path.unlink(missing_ok=True)

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
        total = self._write(name, rows.to_bytes())
        event = {"kind": "chunk", "cell": cell, "key": key, "chunk": number, "file": name, "sum": total}
        self._note(event)

    def finished(self, cell: str, key: str) -> CellRecord | None:
        """The record of this very cell if it is finished and all its files are intact."""
        event = self._cells.get(cell)
        if event is None or event["key"] != key:
            return None
        for name, recorded in event["files"].items():
            if not self._has(name, recorded) and not self._fetched(name, recorded):
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
        old = [
            self.path / folder / f"{record.id}.{ending}"
            for ending, folder in folders.items()
            if ending not in files
        ]
        self._remove([path for path in old if path.is_file()])
        for ending, content in files.items():
            name = f"{folders[ending]}/{record.id}.{ending}"
            sums[name] = self._write(name, content, final=True)
        name = f"cells/{record.id}.json"
        sums[name] = self._write(name, to_json(record), final=True)
        event = {"kind": "cell", "cell": record.id, "key": key, "files": sums}
        self._note(event)
        self._remove(list((self.path / "chunks").glob(f"{record.id}-*.safetensors")))

    def write_run(self, run: RunRecord) -> None:
        """Write `run.json`."""
        self._write("run.json", to_json(run))


def to_json(record: CellRecord | RunRecord) -> bytes:
    """The public JSON form."""
    return record.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
