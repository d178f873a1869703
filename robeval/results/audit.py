"""What an audit found: `audit.json` of a run folder, and how it changes verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robeval.results.files import checksum, write_atomically
from robeval.results.places import mirror_of
from robeval.results.records import CellRecord, Evidence, Verdict

SCHEMA = 1
NAME = "audit.json"
_SEVERITY: tuple[Verdict, ...] = ("ok", "suspicious", "invalid")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CheckRecord(_Record):
    """A check that was asked."""

    name: str
    question: str


class AuditEntry(_Record):
    """One check on one cell."""

    check: str
    cell: str = Field(description="id of the cell")
    outcome: Literal["pass", "flag", "n/a"]
    severity: Verdict = Field(default="ok", description="what a flag makes of the cell's verdict")
    evidence: str
    advice: str = ""
    counter: str = Field(default="", description="the counter-measure that answers it, if there is one")


class Rescored(_Record):
    """A flagged cell beside its counter-measures."""

    cell: str = Field(description="id of the flagged cell")
    counters: list[str] = Field(description="ids of the cells that the counter-measures gave")
    worst: str = Field(description="id of the cell that holds the worst of all of them, example by example")


class AuditRecord(_Record):
    """The whole audit."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    checks: list[CheckRecord]
    examples: int = Field(description="examples of the further cells")
    seconds: float
    entries: list[AuditEntry]
    rescored: list[Rescored] = []
    sums: dict[str, str] = Field(default={}, description="checksums of the cell records that were audited")


def write_audit(folder: Path, audit: AuditRecord) -> None:
    """Write `audit.json` with the checksums of the audited cells' records."""
    cells = {entry.cell for entry in audit.entries}
    sums = {cell: checksum((folder / f"cells/{cell}.json").read_bytes()) for cell in sorted(cells)}
    content = audit.model_copy(update={"sums": sums}).model_dump_json(by_alias=True, indent=1)
    write_atomically(folder / NAME, content.encode() + b"\n")
    mirror = mirror_of(folder)
    if mirror is not None:
        mirror.send(folder / NAME, content.encode() + b"\n")


def read_audit(folder: Path) -> AuditRecord | None:
    """The audit of a run, without what it says of cells that were made anew since; None without a readable one."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        audit = AuditRecord.model_validate(json.loads(path.read_bytes()))
    except (ValueError, ValidationError):
        return None
    current = {cell for cell, recorded in audit.sums.items() if _sum(folder, cell) == recorded}
    return audit.model_copy(update={"entries": [entry for entry in audit.entries if entry.cell in current]})


def _sum(folder: Path, cell: str) -> str | None:
    path = folder / f"cells/{cell}.json"
    return checksum(path.read_bytes()) if path.is_file() else None


def with_audit(cells: Iterable[CellRecord], audit: AuditRecord | None) -> list[CellRecord]:
    """The records with what the audit flagged in their evidence and verdict."""
    flagged: dict[str, list[AuditEntry]] = {}
    for entry in audit.entries if audit else ():
        if entry.outcome == "flag":
            flagged.setdefault(entry.cell, []).append(entry)
    return [_judged(cell, flagged.get(cell.id, [])) for cell in cells]


def _judged(cell: CellRecord, flags: list[AuditEntry]) -> CellRecord:
    if not flags:
        return cell
    found = [
        Evidence(
            check=f.check,
            severity=f.severity,
            message=f"{f.evidence}; {f.advice}" if f.advice else f.evidence,
        )
        for f in flags
    ]
    verdict = max([cell.verdict, *(f.severity for f in flags)], key=_SEVERITY.index)
    return cell.model_copy(update={"verdict": verdict, "evidence": [*cell.evidence, *found]})
