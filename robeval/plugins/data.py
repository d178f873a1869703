"""Datasets: a LightningDataModule of one domain, with a fingerprint."""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from robeval.arrays import Batch
from robeval.errors import AccessError

Split = Literal["train", "val", "test"]


class Dataset(pl.LightningDataModule, ABC):
    """Base of all datasets. Subclasses take their options as keyword arguments of `__init__` and write `load`.

    A split is one `Batch` in memory; the loaders slice it.
    """

    domain: ClassVar[str]
    caveat: ClassVar[str] = ""
    """What figures on it cannot be read for; it stands in the head of every report."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_size = 64
        self.train_batch_size = 64
        self.shuffle_seed = 0
        self._splits: dict[str, Batch] = {}

    @abstractmethod
    def load(self, split: Split) -> Batch:
        """All examples of a split.

        Raises MissingFile or DataError with what is wrong and where.
        """

    def fingerprint(self) -> str:
        """Changes when the examples would change: source, options and, for files, their content."""
        options = {
            key: value for key, value in vars(self).items() if isinstance(value, str | int | float | bool)
        }
        for runtime in ("batch_size", "train_batch_size", "shuffle_seed", "prepare_data_per_node"):
            options.pop(runtime, None)
        files = {str(path.name): _file_digest(path) for path in self.files()}
        source = inspect.getsource(inspect.getmodule(type(self)) or type(self))
        text = json.dumps([type(self).__qualname__, source, options, files], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def files(self) -> Sequence[Path]:
        """The files that the examples come from, if any."""
        return ()

    def split(self, name: Split) -> Batch:
        """A split, loaded once."""
        if name not in self._splits:
            self._splits[name] = self.load(name)
        return self._splits[name]

    def with_train(self, batch: Batch) -> Dataset:
        """The same data with other training examples: what poisoning and sanitising return."""
        return Replaced(self, batch)

    def train_dataloader(self) -> Any:
        """Shuffled batches, the last incomplete one dropped unless it is the only one."""
        from robeval.seeding import Seed

        examples = self.split("train")
        size = min(self.train_batch_size, len(examples))
        return DataLoader(
            range(len(examples)),  # type: ignore[arg-type]
            batch_size=size,
            shuffle=True,
            drop_last=True,
            collate_fn=examples.select,
            generator=Seed(self.shuffle_seed).generator(),
        )

    def test_dataloader(self) -> Any:
        """The test examples in order."""
        examples = self.split("test")
        return DataLoader(
            range(len(examples)),  # type: ignore[arg-type]
            batch_size=self.batch_size,
            shuffle=False,
            collate_fn=examples.select,
        )


class Replaced(Dataset):
    """A dataset whose training examples were exchanged."""

    def __init__(self, original: Dataset, train: Batch) -> None:
        super().__init__()
        self.original = original
        self.domain = original.domain  # type: ignore[misc]
        self._splits["train"] = train

    def load(self, split: Split) -> Batch:
        """The original's other splits."""
        return self.original.split(split)

    def fingerprint(self) -> str:
        """The original's: what changed it is part of the training node's identity."""
        return self.original.fingerprint()


class TrainingOnly(Dataset):
    """A dataset as plugins get it: without the examples that they will be judged on."""

    def __init__(self, original: Dataset) -> None:
        super().__init__()
        self._original = original
        self.domain = original.domain  # type: ignore[misc]

    def load(self, split: Split) -> Batch:
        """The train or val split. Raises AccessError for the test split."""
        if split == "test":
            raise AccessError("attacks and defenses may not see the test split; use 'train' or 'val'")
        return self._original.split(split)

    def fingerprint(self) -> str:
        """The original's."""
        return self._original.fingerprint()


@lru_cache(maxsize=4096)
def _digest_at(path: str, size: int, changed_ns: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _file_digest(path: Path) -> str:
    state = path.stat()
    return _digest_at(str(path), state.st_size, state.st_mtime_ns)
