"""Training nodes: a victim is fitted once, however many cells need it, and kept in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load, save

from robeval.engine.blame import returned
from robeval.engine.cache import Cache, content_key
from robeval.engine.catalog import Catalog, acts
from robeval.engine.plan import NONE, Fit, warm_start
from robeval.engine.precision import trainer_arguments
from robeval.engine.quiet import quiet_lightning
from robeval.engine.sources import module_digest
from robeval.engine.timeout import TimedOut, time_limit
from robeval.errors import MissingFile, RobevalError
from robeval.plugins.data import Dataset, TrainingOnly
from robeval.plugins.victim import Victim
from robeval.results.files import file_checksum
from robeval.seeding import Seed

if TYPE_CHECKING:
    from robeval.engine.experiment import Execution
    from robeval.engine.progress import Watcher


SMALL = 1_000_000
"""Parameters below which a training gains nothing from a second thread."""


@contextmanager
def private_randomness(seed: Seed) -> Iterator[None]:
    """Torch's generators seeded inside, as before outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed.integer())
        yield


@contextmanager
def threads_for(module: torch.nn.Module) -> Iterator[None]:
    """One thread for a small module: as fast on an idle machine, many times faster on a busy one.

    Threads that wait for each other a hundred times a step stall on every other process's turn. One thread also
    makes the weights independent of the number of cores.
    """
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in module.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Steps(Callback):
    """Tells the watcher how far a training is."""

    def __init__(self, watcher: Watcher, total: int) -> None:
        self.watcher, self.total = watcher, total

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.watcher.advance(trainer.global_step, self.total, "steps")


class Trainings:
    """Trained victims by their `Fit`: from memory, from the cache, or fitted now."""

    def __init__(self, catalog: Catalog, cache: Cache, execution: Execution, watcher: Watcher) -> None:
        self.catalog, self.cache, self.execution, self.watcher = catalog, cache, execution, watcher
        self._victims: dict[Fit, Victim] = {}
        self._data: dict[Fit, Dataset] = {}
        self._keys: dict[Fit, str] = {}
        self._too_long: dict[Fit, TimedOut] = {}

    def victim(self, fit: Fit) -> Victim:
        """The trained victim, in evaluation mode."""
        if fit in self._too_long:
            raise self._too_long[fit]  # the other cells need not wait for it again
        if fit not in self._victims:
            try:
                with time_limit(self.execution.cell_timeout, f"training {fit}"):
                    self._victims[fit] = self._obtain(fit)
            except TimedOut as error:
                self._too_long[fit] = error
                raise
        return self._victims[fit].eval()

    def data(self, fit: Fit) -> Dataset:
        """The dataset as that training saw it: poisoned, then sanitised."""
        if fit not in self._data:
            data: Dataset = TrainingOnly(self.catalog.dataset(fit.dataset))
            seed = Seed(fit.seed)
            if fit.attack != NONE:
                attack = self.catalog.attack(fit.attack)
                data = attack.poison(data, fit.budget, seed.child("poison"))
                returned(data, Dataset, attack, "poison")  # type: ignore[type-abstract]
            defense = self.catalog.defense(fit.defense)
            if acts(defense, "sanitize"):
                data = defense.sanitize(data, seed.child("sanitize"))
                returned(data, Dataset, defense, "sanitize")  # type: ignore[type-abstract]
            self._data[fit] = data
        return self._data[fit]

    def key(self, fit: Fit) -> str:
        """The content address of a training."""
        if fit not in self._keys:
            self._keys[fit] = self._key(fit)
        return self._keys[fit]

    def _key(self, fit: Fit) -> str:
        start = warm_start(fit, self.catalog)
        return content_key(
            "victim",
            {
                "victim": self.catalog.digest("victim", fit.victim),
                "checkpoint": checkpoint_digest(self.catalog, fit),
                "data": self.catalog.digest("dataset", fit.dataset),
                "defense": self.catalog.digest("defense", fit.defense) if fit.defense != NONE else None,
                "attack": [self.catalog.digest("attack", fit.attack), fit.budget]
                if fit.attack != NONE
                else None,
                "seed": fit.seed,
                "role": fit.role,
                "start": self.key(start) if start else None,
                "recipe": [module_digest("robeval.plugins.victim"), file_checksum(Path(__file__))],
                "precision": self.execution.precision,
            },
        )

    def _obtain(self, fit: Fit) -> Victim:
        victim = self._untrained(fit)
        needs_training = victim.steps > 0 and victim.checkpoint is None
        victim.load_checkpoint()
        if not needs_training and (
            fit.defense == NONE or not acts(self.catalog.defense(fit.defense), "robustify")
        ):
            return victim
        key = self.key(fit)
        with self.cache.lock("victim", key):
            entry = self.cache.find("victims", key)
            if entry is None:
                self._fit(fit, victim)
                content = {"weights.safetensors": save(_tensors(victim)), "fit.json": _described(fit)}
                self.cache.put("victims", key, content)
            else:
                victim.load_state_dict(load((entry / "weights.safetensors").read_bytes()))
        return victim

    def is_missing(self, fit: Fit) -> bool:
        """Whether the victim would have to be trained now."""
        if fit in self._victims:
            return False
        robust = fit.defense != NONE and acts(self.catalog.defense(fit.defense), "robustify")
        options = self.catalog.effective("victim", fit.victim)
        steps = options.get("steps", getattr(self.catalog.cls("victim", fit.victim), "steps", 0))
        trained = bool(steps) and not options.get("checkpoint")
        return (trained or robust) and self.cache.find("victims", self.key(fit)) is None

    def _untrained(self, fit: Fit) -> Victim:
        with private_randomness(Seed(fit.seed).child("weights", fit.role, fit.victim.name)):
            return self.catalog.victim(fit.victim)

    def _fit(self, fit: Fit, victim: Victim) -> None:
        start = warm_start(fit, self.catalog)
        if start:
            victim.load_state_dict(self.victim(start).state_dict())
        data, seed = self.data(fit), Seed(fit.seed).child("fit", fit.victim.name, fit.defense.name)
        with self.watcher.task(f"training {fit}"), private_randomness(seed):
            defense = self.catalog.defense(fit.defense)
            module = defense.robustify(victim.train(), data, seed.child("robustify"))
            returned(module, pl.LightningModule, defense, "robustify")
            steps = int(getattr(module, "steps", victim.steps))
            data.train_batch_size = int(getattr(module, "train_batch_size", victim.train_batch_size))
            data.shuffle_seed = seed.child("shuffle").integer()
            with quiet_lightning(), threads_for(module):
                trainer = self._trainer(steps)
                trainer.fit(module, train_dataloaders=data.train_dataloader())
        victim.cpu().float()  # as a victim from the cache would be
        broken = [name for name, value in _tensors(victim).items() if not value.isfinite().all()]
        if broken:
            raise RobevalError(f"training diverged ({fit}): NaN or infinity in {', '.join(broken[:3])}")

    def _trainer(self, steps: int) -> pl.Trainer:
        return pl.Trainer(
            max_steps=steps,
            max_epochs=-1,
            callbacks=[_Steps(self.watcher, steps)],
            gradient_clip_val=1.0,
            **trainer_arguments(self.execution),
        )


def checkpoint_digest(catalog: Catalog, fit: Fit) -> str | None:
    """The content of the checkpoint that a victim is loaded from."""
    path = catalog.effective("victim", fit.victim).get("checkpoint")
    if not path:
        return None
    if not Path(str(path)).is_file():
        raise MissingFile(path, f"It is the checkpoint of victim '{fit.victim.name}'.")
    return file_checksum(Path(str(path)))


def _tensors(victim: Victim) -> dict[str, torch.Tensor]:
    return {name: value.detach().contiguous() for name, value in victim.state_dict().items()}


def _described(fit: Fit) -> bytes:
    return json.dumps({"fit": str(fit), "dataset": str(fit.dataset)}, indent=1).encode()
