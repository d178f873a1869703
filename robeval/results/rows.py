"""What came of each example: texts, numbers and adversarial tensors, and the public table made of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

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
