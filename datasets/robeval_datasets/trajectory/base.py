"""What every trajectory dataset shares: window options, kinematic bounds, a fingerprint of all loader code."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from robeval.domains.trajectory.batch import SceneBatch
from robeval.plugins.data import Dataset, Split
from robeval_datasets.trajectory import limits
from robeval_datasets.trajectory.windows import Window


class TrackDataset(Dataset):
    """Base of the trajectory datasets: `examples` makes them, `load` gives them their kinematic bounds."""

    domain = "trajectory"
    published: ClassVar[str | None] = None
    """Whose published constants `bounds=repo` means."""

    history: int
    horizon: int
    windows: int
    dt: float
    bounds: str
    agents: int

    def __init__(self) -> None:
        super().__init__()
        self._raw: dict[str, SceneBatch] = {}
        self._limits: limits.Limits | None = None
        self.loader_source = _loader_source()

    @abstractmethod
    def examples(self, split: Split) -> SceneBatch:
        """The examples of a split, their limits not yet known."""

    def load(self, split: Split) -> SceneBatch:
        """All examples of a split.

        Raises MissingFile or DataError with what is wrong and where, OptionError for bounds that do not apply.
        """
        if self._limits is None:
            self._limits = limits.resolve(self.bounds, self.dt, self.published, lambda: self._made("train"))
        return limits.bounded(self._made(split), self._limits)

    def _made(self, split: Split) -> SceneBatch:
        if split not in self._raw:
            self._raw[split] = self.examples(split)
        return self._raw[split]

    @property
    def window(self) -> Window:
        """What one example spans."""
        return Window(self.history, self.horizon, self.windows, self.dt)


def _loader_source() -> str:
    """A digest of every module beside this one: a change in a helper changes the examples too."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
