"""What every trajectory dataset shares: window options, kinematic bounds, a fingerprint of all loader
code."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from robeval.domains.trajectory.batch import SceneBatch, pad_agents
from robeval.errors import DataError
from robeval.plugins.data import Dataset, Split
from robeval_datasets.trajectory import limits
from robeval_datasets.trajectory.recordings import Recording, allowed_kinds, cut
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

        Raises MissingFile or DataError with what is wrong and where, OptionError for bounds that do not
        apply.
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


class RecordedDataset(TrackDataset):
    """Base of the datasets that come from files: write `recordings` and `files`."""

    allow_types: str
    stride: int

    @abstractmethod
    def recordings(self, split: Split) -> list[Recording]:
        """The scenes of a split."""

    def examples(self, split: Split) -> SceneBatch:
        """Every complete example of the split; limits unknown.

        Raises DataError when there is none.
        """
        allow = allowed_kinds(self.allow_types)
        scenes = self.recordings(split)
        batches = cut(scenes, self.window, self.agents, allow, self.stride)
        if not batches:
            raise DataError(
                f"{type(self).__name__}: no example in split '{split}'. An example needs a target of type "
                f"{self.allow_types} that is seen in {self.window.frames} frames in a row, "
                f"{self.dt} s apart; "
                f"{sum(len(scene.agents) for scene in scenes)} tracks were read. Lower history, "
                "horizon or windows, "
                "or widen allow_types."
            )
        return SceneBatch.join(pad_agents(batches))


def _loader_source() -> str:
    """A digest of every module beside this one: a change in a helper changes the examples too."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
