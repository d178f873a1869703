"""The vocabulary of arrays: what a batch of examples is, in any domain.

Axis names used all over the project: ``batch`` (examples), ``rows`` (examples x restarts x objectives,
an example's rows adjacent), ``frames``, ``agents``, ``modes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

# Not typing.Self: beartype, which checks shapes in tests, cannot read it on single methods.
BatchT = TypeVar("BatchT", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """A batch of examples: a frozen dataclass whose tensors and tuples all have one entry per example.

    Fields that are neither tensors nor tuples (an int, a float, a string) are shared by all examples.
    Subclasses add fields; moving, slicing, repeating and joining come for free.
    """

    ids: tuple[str, ...]
    """One stable name per example; an example keeps it wherever it travels."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Where the tensors live (the CPU when there are none)."""
        return next(iter(self.tensors().values())).device if self.tensors() else torch.device("cpu")

    def tensors(self) -> dict[str, Tensor]:
        """The tensor fields by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def _per_example(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor | tuple)}

    def replace(self: BatchT, **changes: Any) -> BatchT:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to(self: BatchT, device: torch.device | str, non_blocking: bool = False) -> BatchT:
        """A copy on another device. Precision is kept."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking) for name, value in self.tensors().items()
        }
        return replace(self, **moved)

    def select(self: BatchT, rows: Tensor | slice | Sequence[int]) -> BatchT:
        """The examples at `rows` (indices, a boolean mask or a slice), in that order."""
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            rows = rows.nonzero().squeeze(-1)
        if isinstance(rows, slice):
            numbers: Sequence[int] = range(*rows.indices(len(self)))
            index: Tensor | slice = rows
        else:
            index = torch.as_tensor(rows, dtype=torch.long)
            numbers = index.tolist()
        changes: dict[str, Any] = {
            name: value[index.to(value.device) if isinstance(index, Tensor) else index]
            if isinstance(value, Tensor)
            else tuple(value[i] for i in numbers)
            for name, value in self._per_example().items()
        }
        return replace(self, **changes)

    def repeat(self: BatchT, times: int) -> BatchT:
        """Every example `times` times, the copies of one example adjacent (rows of restarts)."""
        if times == 1:
            return self
        changes: dict[str, Any] = {
            name: value.repeat_interleave(times, dim=0)
            if isinstance(value, Tensor)
            else tuple(item for item in value for _ in range(times))
            for name, value in self._per_example().items()
        }
        return replace(self, **changes)

    @classmethod
    def join(cls: type[BatchT], batches: Sequence[BatchT]) -> BatchT:
        """All examples of `batches` in order.

        Raises ValueError when there are none or when their shared fields differ.
        """
        if not batches:
            raise ValueError(f"no {cls.__name__} to join")
        first = batches[0]
        changes: dict[str, Any] = {}
        for field in fields(first):
            values = [getattr(batch, field.name) for batch in batches]
            if isinstance(values[0], Tensor):
                changes[field.name] = torch.cat(values)
            elif isinstance(values[0], tuple):
                changes[field.name] = tuple(item for value in values for item in value)
            elif any(value != values[0] for value in values):
                raise ValueError(f"batches differ in '{field.name}': {sorted(set(map(str, values)))}")
        return replace(first, **changes)

    def identical(self, other: Batch) -> bool:
        """Whether both hold the same examples, bit for bit (NaN equals NaN)."""
        mine, theirs = self._per_example(), other._per_example()
        return mine.keys() == theirs.keys() and all(
            bool(torch.equal(value.nan_to_num(nan=0.0), theirs[name].nan_to_num(nan=0.0)))
            and bool(torch.equal(value.isnan(), theirs[name].isnan()))
            if isinstance(value, Tensor) and value.is_floating_point()
            else bool(torch.equal(value, theirs[name]))
            if isinstance(value, Tensor)
            else value == theirs[name]
            for name, value in mine.items()
        )

    def changed(self, other: Batch) -> Tensor:
        """Which rows differ from `other`'s in a tensor or a text (NaN equals NaN): bool [batch], on the CPU."""
        differs = torch.zeros(len(self), dtype=torch.bool)
        theirs = other._per_example()
        for name, value in self._per_example().items():
            if isinstance(value, Tensor):
                mine, old = per_example(value), per_example(theirs[name])
                same = (mine == old) | ((mine != mine) & (old != old))
                differs |= ~same.all(dim=1).cpu()
            else:
                differs |= torch.tensor(
                    [a != b for a, b in zip(value, theirs[name], strict=True)], dtype=torch.bool
                )
        return differs


def per_example(value: Tensor) -> Tensor:
    """`value` flattened to [batch, features]: one row per example whatever its shape was."""
    return value.flatten(1) if value.dim() > 1 else value.unsqueeze(1)


def is_finite(values: Mapping[str, Tensor], count: int) -> Tensor:
    """Which of `count` examples are finite in every floating tensor of `values`: bool [batch]."""
    good = torch.ones(count, dtype=torch.bool)
    for value in values.values():
        if value.is_floating_point():
            good &= per_example(value).isfinite().all(dim=1).cpu()
    return good


def straight_through(exact: Tensor, passed: Tensor) -> Tensor:
    """`exact` in the forward direction, the gradient of `passed` in the backward one."""
    return passed + (exact - passed).detach()
