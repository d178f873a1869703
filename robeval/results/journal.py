"""An append-only journal: what has been finished, flushed before anything else goes on.

One JSON line per event, each with its own checksum. A line that a kill cut short is ignored; the work behind it is
done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robeval.results.files import checksum


@dataclass(frozen=True)
class Journal:
    """The journal of one run folder."""

    path: Path

    def append(self, event: dict[str, Any]) -> None:
        """Write one event to disk; on return it survives a kill."""
        text = json.dumps(event, sort_keys=True)
        line = json.dumps({"event": event, "sum": checksum(text.encode())}, sort_keys=True) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as stream:
            if stream.tell() and not self._ends_with_newline():
                stream.write(b"\n")
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())

    def events(self) -> Iterator[dict[str, Any]]:
        """All intact events in order."""
        if not self.path.is_file():
            return
        for line in self.path.read_bytes().splitlines():
            try:
                content = json.loads(line)
                event: dict[str, Any] = content["event"]
                intact = checksum(json.dumps(event, sort_keys=True).encode()) == content["sum"]
            except (ValueError, KeyError, TypeError):
                continue
            if intact:
                yield event

    def _ends_with_newline(self) -> bool:
        with open(self.path, "rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"
