"""Reading a cell's per-example table, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robeval.errors import StoreError


def read_examples(
    folder: Path, cell: str, numbers: Sequence[str], texts: Sequence[str] = ("cluster", "group")
) -> dict[str, np.ndarray]:
    """The named columns of examples/<cell>.parquet: float64 or str, one entry per example.

    Raises StoreError when the file is missing or damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "examples" / f"{cell}.parquet"
    wanted = [*texts, *numbers]
    advice = "Run the same command again: it rebuilds what is damaged."
    try:
        # Tables are small and read by the thousand: threads and read-ahead only cost.
        table = pq.ParquetFile(path, pre_buffer=False).read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}). {advice}") from None
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise StoreError(f"{path} has no column {', '.join(missing)}. {advice}")
    found = {name: np.asarray(table.column(name).to_pylist(), dtype=str) for name in texts}
    return found | {name: np.asarray(table.column(name).to_numpy(), dtype=np.float64) for name in numbers}
