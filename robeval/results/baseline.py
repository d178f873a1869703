"""The baseline: figures that later runs must not fall below. A JSON for people, a Parquet with every outcome.

The JSON is laid out for diffs: rounded, one metric a line, one cell on three, and nothing that changes when the
same figures are recorded again. The Parquet file beside it holds one row per cell, seed and example.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from robeval.errors import MissingFile, UsageError
from robeval.results.files import checksum, write_atomically
from robeval.results.records import BudgetRecord, CellRecord, MetricRecord, Verdict, _Record

SCHEMA = 1
DEFAULT = Path("robeval-baseline.json")
TOLERANCE = 0.02
"""Two points of a proportion, two per cent of any other figure."""
ABOUT = "What `robeval check` compares with. Edit tolerance and relative as you like; all else is recorded."
_RECORD_AGAIN = "Take it back from version control, or record it again: robeval baseline RUN -o FILE"

Outcomes = dict[str, dict[str, np.ndarray]]
"""By cell: `seed`, `example`, `cluster`, and the metrics' columns as float32; one entry per seed and example."""


class BaselineMetric(MetricRecord):
    """A metric that gates, and by how much its figures may get worse."""

    tolerance: float = Field(default=TOLERANCE, ge=0, allow_inf_nan=False)
    relative: bool = Field(description="the tolerance is a share of the recorded figure, not an amount")

    def allowance(self, figure: float, tolerance: float | None = None) -> float:
        """How much worse than `figure` is tolerated, in the metric's unit; `tolerance` replaces the own one."""
        amount = self.tolerance if tolerance is None else tolerance
        return amount * abs(figure) if self.relative else amount

    @property
    def columns(self) -> tuple[str, ...]:
        """The per-example columns that it is made from."""
        return (self.column, self.per) if self.per else (self.column,)


class BaselineCell(_Record):
    """One place of the matrix over all its seeds."""

    name: str
    dataset: str
    victim: str
    attack: str
    defense: str
    knowledge: str
    certified: bool
    budget: BudgetRecord
    seeds: list[int]
    n: int = Field(description="outcomes: examples × seeds")
    verdict: Verdict
    figures: dict[str, float | None]


class OutcomesFile(_Record):
    """The Parquet file beside the JSON."""

    file: str
    sum: str


class Baseline(_Record):
    """The JSON document."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    about: str = ABOUT
    packages: dict[str, str] = Field(description="versions that may move figures")
    experiment: dict[str, Any]
    fingerprints: dict[str, str]
    metrics: list[BaselineMetric] = Field(min_length=1)
    outcomes: OutcomesFile
    cells: list[BaselineCell] = Field(min_length=1)

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def cell_name(cell: CellRecord) -> str:
    """What tells a place of the matrix from all others, in plain ASCII as long as the plugins' names are."""
    unit = f" {cell.budget.unit}" if cell.budget.unit else ""
    unusual = [word for word in (cell.knowledge, cell.counter) if word not in ("adaptive", "")]
    grant = "" if cell.certified else f" <= {cell.budget.value:g}{unit}"
    attack = "clean" if cell.attack == "none" else " ".join([f"{cell.attack}{grant}", *unusual])
    return f"{attack} vs {cell.defense} on {cell.victim} ({cell.dataset})"


def outcomes_path(path: Path) -> Path:
    """The Parquet file that belongs to a baseline."""
    return path.with_suffix(".parquet")


def write_baseline(path: Path, baseline: Baseline, outcomes: Outcomes) -> None:
    """Write both files, each as a whole or not at all; the JSON, which holds the other's checksum, last.

    Raises UsageError where they cannot be written.
    """
    content = _to_parquet([cell.name for cell in baseline.cells], outcomes)
    beside = outcomes_path(path)
    named = OutcomesFile(file=beside.name, sum=checksum(content))
    text = _laid_out(baseline.model_copy(update={"outcomes": named}))
    try:
        write_atomically(beside, content)
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}. Choose another -o FILE.") from None


def read_baseline(path: Path) -> Baseline:
    """The JSON document. Raises MissingFile, or UsageError saying what is wrong where."""
    if not path.is_file():
        raise MissingFile(path, "Record a baseline with: robeval baseline RUN -o FILE")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: {error}. {_RECORD_AGAIN}") from None
    if not isinstance(content, dict) or "schema" not in content or "cells" not in content:
        raise UsageError(f"{path} is not a baseline: it has no schema and cells. {_RECORD_AGAIN}")
    if content["schema"] != SCHEMA:
        raise UsageError(
            f"{path} has schema {content['schema']}; this robeval reads {SCHEMA}. Use a matching version, "
            "or record it again: robeval baseline RUN -o FILE"
        )
    try:
        baseline = Baseline.model_validate(content)
    except ValidationError as error:
        raise UsageError(_explained(path, content, error)) from None
    _check_names(path, baseline)
    return baseline


def read_outcomes(path: Path, baseline: Baseline) -> Outcomes:
    """The outcomes that belong to the baseline at `path`.

    Raises MissingFile, or UsageError when they are not the ones that were recorded with it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    beside = path.parent / Path(baseline.outcomes.file).name
    if not beside.is_file():
        raise MissingFile(beside, f"It belongs to {path}: commit both files. {_RECORD_AGAIN}")
    content = beside.read_bytes()
    if checksum(content) != baseline.outcomes.sum:
        pointer = " It is a Git LFS pointer: git lfs pull." if content.startswith(b"version https://") else ""
        raise UsageError(
            f"{beside} is not the file that was recorded with {path}.{pointer} Both change together; "
            + _RECORD_AGAIN
        )
    try:
        table = pq.read_table(pa.BufferReader(content))
    except pa.ArrowException as error:
        raise UsageError(f"{beside} cannot be read ({error}). {_RECORD_AGAIN}") from None
    return _from_table(beside, table, baseline)


def _check_names(path: Path, baseline: Baseline) -> None:
    for what, names in (
        ("cell", [cell.name for cell in baseline.cells]),
        ("metric", [metric.name for metric in baseline.metrics]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{path} names the {what} '{twice[0]}' twice. {_RECORD_AGAIN}")
    for cell in baseline.cells:
        for metric in baseline.metrics:
            if metric.name not in cell.figures:
                raise UsageError(
                    f"{path}: cell '{cell.name}' has no figure for the metric '{metric.name}'. To gate on other "
                    "metrics record again: robeval baseline RUN -o FILE --metric NAME"
                )


def _explained(path: Path, content: Mapping[str, Any], error: ValidationError) -> str:
    problem = error.errors()[0]
    place: list[str] = []
    here: Any = content
    for step in problem["loc"]:
        here = _inside(here, step)
        named = here.get("name") if isinstance(here, dict) else None
        place.append(f"'{named}'" if isinstance(step, int) and named else str(step))
    got = f" (got {problem['input']!r})" if isinstance(problem["input"], str | int | float) else ""
    return f"{path}: {' › '.join(place)}: {problem['msg']}{got}. {_RECORD_AGAIN}"


def _inside(here: Any, step: str | int) -> Any:
    if isinstance(here, dict):
        return here.get(step)
    return here[step] if isinstance(here, list) and isinstance(step, int) and step < len(here) else None


def _laid_out(baseline: Baseline) -> str:
    content = baseline.model_dump(mode="json", by_alias=True)
    parts = []
    for key, value in content.items():
        if key == "cells":
            parts.append(f' "cells": [\n{_joined(map(_cell_lines, value))}\n ]')
        elif key == "metrics":
            parts.append(f' "metrics": [\n{_joined("  " + _text(metric) for metric in value)}\n ]')
        elif isinstance(value, dict):
            lines = (f"  {_text(name)}: {_text(item)}" for name, item in value.items())
            parts.append(f" {_text(key)}: {{\n{_joined(lines)}\n }}")
        else:
            parts.append(f" {_text(key)}: {_text(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _cell_lines(cell: dict[str, Any]) -> str:
    first = _text({"name": cell.pop("name")})
    last = _text({key: cell.pop(key) for key in ("seeds", "n", "verdict", "figures")})
    return f"  {first[:-1]},\n   {_text(cell)[1:-1]},\n   {last[1:]}"


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _to_parquet(names: Sequence[str], outcomes: Outcomes) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = sorted({column for table in outcomes.values() for column in table} - {*_KEYS})
    tables = [
        pa.table(
            {
                "cell": pa.array([name] * len(outcomes[name]["example"]), pa.string()),
                "seed": pa.array(outcomes[name]["seed"], pa.int32()),
                "example": pa.array(outcomes[name]["example"].tolist(), pa.string()),
                "cluster": pa.array(outcomes[name]["cluster"].tolist(), pa.string()),
                **{column: pa.array(outcomes[name][column], pa.float32()) for column in columns},
            }
        )
        for name in names
    ]
    stream = io.BytesIO()
    pq.write_table(pa.concat_tables(tables), stream, compression="zstd")
    return stream.getvalue()


_KEYS = ("seed", "example", "cluster")


def _from_table(path: Path, table: Any, baseline: Baseline) -> Outcomes:
    columns = sorted({column for metric in baseline.metrics for column in metric.columns})
    lost = [name for name in ("cell", *_KEYS, *columns) if name not in table.column_names]
    if lost:
        raise UsageError(
            f"{path} has no column {', '.join(lost)}: another metric was recorded. To gate on other metrics "
            "record again: robeval baseline RUN -o FILE --metric NAME"
        )
    cells = np.asarray(table.column("cell").to_pylist(), dtype=str)
    arrays = {
        "seed": np.asarray(table.column("seed").to_numpy(), dtype=np.int32),
        "example": np.asarray(table.column("example").to_pylist(), dtype=str),
        "cluster": np.asarray(table.column("cluster").to_pylist(), dtype=str),
        **{name: np.asarray(table.column(name).to_numpy(), dtype=np.float32) for name in columns},
    }
    found: Outcomes = {}
    for cell in baseline.cells:
        here = cells == cell.name
        if int(here.sum()) != cell.n:
            raise UsageError(
                f"{path} holds {int(here.sum())} outcomes of '{cell.name}', and the baseline says {cell.n}. "
                + _RECORD_AGAIN
            )
        found[cell.name] = {name: values[here] for name, values in arrays.items()}
    return found
