"""From tensors to what a table of examples keeps: texts, columns of numbers, and the inputs that were changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robeval.arrays import Batch
from robeval.errors import PluginError
from robeval.plugins.contracts import Domain
from robeval.plugins.views import View
from robeval.results.store import Rows


def texts_of(
    domain: Domain[Any], clean: Batch, invalid: Tensor, view: View[Any] | None
) -> dict[str, list[str]]:
    """What is said of each example: its id, its cluster and group, whether it counts, and the attack's notes."""
    notes = [""] * len(clean)
    for status, where in (view.notes if view else {}).items():
        for place in where.nonzero().flatten().tolist():
            notes[place] = f"{notes[place]} {status}".strip()
    return {
        "example": list(clean.ids),
        "cluster": list(domain.clusters(clean)),
        "group": list(domain.groups(clean)),
        "status": ["invalid" if bad else "ok" for bad in invalid.tolist()],
        "note": notes,
    }


def changed_tensors(clean: Batch, adversarial: Batch) -> dict[str, np.ndarray]:
    """The adversarial tensors that differ from the clean ones; the rest can be read from the dataset."""
    mine = clean.tensors()
    return {
        name: _array(value)
        for name, value in adversarial.tensors().items()
        if not torch.equal(value.nan_to_num(), mine[name].nan_to_num())
    }


def filled(parts: Sequence[Rows], examples: Batch) -> list[Rows]:
    """The parts with the same adversarial tensors in each: where a part changed nothing, the clean ones."""
    names = sorted({name for rows in parts for name in rows.adversarial})
    clean = {name: examples.tensors()[name] for name in names}
    found, start = [], 0
    for rows in parts:
        here = slice(start, start + len(rows))
        usual = {name: _array(clean[name][here]) for name in names if name not in rows.adversarial}
        found.append(replace(rows, adversarial={**rows.adversarial, **usual}))
        start += len(rows)
    return found


def _array(value: Tensor) -> np.ndarray:
    array: np.ndarray = (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
    return array


def settled(domain: Domain[Any], rows: Rows) -> Rows:
    """All examples of a cell, with one value each where `score` gave a row of numbers. Raises PluginError."""
    wide = {name: value for name, value in rows.columns.items() if value.ndim > 1}
    found = {}
    for name, value in wide.items():
        try:
            found[name] = column_of(domain.settle(name, torch.from_numpy(value)))
        except NotImplementedError as error:
            raise PluginError(f"domain '{domain.name}': {error}") from None
        if found[name].shape != (len(rows),):
            raise PluginError(
                f"domain '{domain.name}' must settle on one value per example: "
                f"'{name}' has shape {found[name].shape} for {len(rows)} examples"
            )
    return replace(rows, columns={**rows.columns, **found}) if wide else rows


def column_of(value: Tensor) -> np.ndarray:
    """Numbers of every example as a table keeps them: float64."""
    column: np.ndarray = value.detach().double().cpu().numpy()
    return column
