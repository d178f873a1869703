"""Who meets whom in a cell: victims trained, hardened, tampered with or relayed, and the examples."""

from __future__ import annotations

import time
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from robeval.arrays import Batch
from robeval.engine.blame import returned
from robeval.engine.catalog import Catalog, acts
from robeval.engine.counters import COUNTER_DRAWS, PROBED, StraightThrough, locate
from robeval.engine.experiment import Experiment
from robeval.engine.plan import CERTIFICATE, Cell, Fit, surrogate_fit, victim_fit
from robeval.engine.progress import Watcher
from robeval.engine.stage import CleanAnswers, Prepared, Stage
from robeval.engine.train import Trainings, private_randomness, threads_for
from robeval.engine.victim_weights import restore_weights, weights_of
from robeval.errors import DataError, PluginError
from robeval.plugins.contracts import Attack
from robeval.plugins.data import Dataset
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Seed


class Stages:
    """Stages of cells; what they are made of is made once and shared."""

    def __init__(
        self, experiment: Experiment, catalog: Catalog, trainings: Trainings, watcher: Watcher
    ) -> None:
        self.experiment, self.catalog = experiment, catalog
        self.trainings, self.watcher = trainings, watcher
        self._hardened: dict[tuple[Fit, str], nn.Module] = {}
        self._clean: dict[tuple[Fit, str], CleanAnswers] = {}
        self._originals: dict[Fit, nn.Module] = {}
        self._preparations: dict[int, tuple[nn.Module, list[tuple[Any, int, str, Prepared]]]] = {}
        self._examples: dict[str, Batch] = {}

    def share(self, other: Stages) -> None:
        """Use the trained, hardened and prepared victims of another; examples stay its own."""
        self.trainings = other.trainings
        self._hardened = other._hardened
        self._preparations, self._originals = other._preparations, other._originals

    def stage(self, cell: Cell) -> Stage:
        """Everything a cell needs, trained and hardened."""
        fit = victim_fit(cell, self.catalog)
        judged = self.judged(cell)
        attack = None if cell.attack == CERTIFICATE else self.catalog.attack(cell.attack)
        surrogate = surrogate_fit(cell, self.catalog)
        attacked = judged
        if surrogate:
            attacked = self.trainings.victim(surrogate)
        elif cell.knowledge == "oblivious":
            attacked = self.trainings.victim(victim_fit(cell, self.catalog, defended=False))
        elif cell.counter == "straight-through":
            attacked = self._relayed(cell, fit, judged)
        defense = self.catalog.defense(cell.defense)
        draws = COUNTER_DRAWS if cell.counter == "expectation" else defense.draws
        seed = Seed(cell.seed).child("attack", cell.attack.name)
        return Stage(
            domain=self.catalog.domain.against(self.trainings.victim(fit)),
            attack=attack,
            attacked=attacked,
            judged=judged,
            threat=attack.grant if attack else ThreatModel("none", Budget("radius", "", 0.0), goal="none"),
            budget=cell.budget,
            seed=seed,
            transfers=surrogate is not None,
            draws=draws if cell.counter == "expectation" or defense.gradient == "expectation" else 1,
            original=lambda: self.original(cell),
            prepared=self._prepared(cell, attack, attacked, seed) if attack and attack.preparation else None,
            clean_answers=CleanAnswers()
            if attack is not None and acts(attack, "tamper")
            else self._clean.setdefault((fit, str(cell.defense)), CleanAnswers()),
        )

    def judged(self, cell: Cell) -> nn.Module:
        """The defended victim that a cell's examples are judged by."""
        if cell.members:
            return self.judged(cell.members[0])
        fit = victim_fit(cell, self.catalog)
        attack = None if cell.attack == CERTIFICATE else self.catalog.attack(cell.attack)
        if attack is not None and acts(attack, "tamper"):
            return self._tampered(cell, fit, attack)
        return self.hardened(fit, cell.defense)

    def hardened(self, fit: Fit, defense: Any) -> nn.Module:
        """The victim of a training as it is deployed under a defense."""
        key = (fit, str(defense))
        if key not in self._hardened:
            self._hardened[key] = self._harden(fit, defense, self.trainings.victim(fit))
        return self._hardened[key].eval()

    def _harden(self, fit: Fit, defense: Any, victim: nn.Module) -> nn.Module:
        plugin = self.catalog.defense(defense)
        if not acts(plugin, "harden"):
            return victim
        seed = Seed(fit.seed).child("harden", defense.name)
        with self.watcher.task(f"preparing {defense}"), private_randomness(seed):
            given = weights_of(victim)
            hardened: nn.Module = returned(
                plugin.harden(victim, self.trainings.data(fit), seed), nn.Module, plugin, "harden"
            )
        if restore_weights(victim, given):
            raise PluginError(
                f"{type(plugin).__name__}.harden changed the weights of the victim it was given, which other cells "
                "use too; work on deepcopy(victim)"
            )
        return hardened.eval()

    def original(self, cell: Cell) -> nn.Module:
        """A frozen copy of the victim before it was defended."""
        fit = victim_fit(cell, self.catalog, defended=False)
        if fit not in self._originals:
            copy = deepcopy(self.trainings.victim(fit)).eval()
            self._originals[fit] = copy.requires_grad_(False)
        return self._originals[fit]

    def _relayed(self, cell: Cell, fit: Fit, judged: nn.Module) -> nn.Module:
        """The defended victim with a gradient past the stage where it gets lost."""
        soft = self.trainings.victim(fit)
        examples = self.examples(cell).select(slice(0, PROBED))
        return StraightThrough(judged, soft, locate(judged, soft, self.catalog.domain, examples))

    def _prepared(self, cell: Cell, attack: Attack[Any], attacked: nn.Module, seed: Seed) -> Prepared:
        """What the attack learns of this victim beforehand, once for all attacks that learn the same."""
        preparation = attack.preparation
        assert preparation is not None
        known = self._preparations.setdefault(id(attacked), (attacked, []))[1]
        for other, seed_value, access, found in known:
            if (other, seed_value, access) == (preparation, cell.seed, attack.grant.access):
                return found
        data = self.trainings.data(victim_fit(cell, self.catalog))
        seed = Seed(cell.seed).child("prepare", type(preparation).__name__)
        view: View[Any] = View(
            attacked,
            self.catalog.domain,
            replace(attack.grant, queries=None),
            data.split("train").ids,
            self.watcher.passes,
            total=preparation.queries,
        )
        started = time.perf_counter()
        with self.watcher.task(f"preparing {cell.attack} on {cell.defense}"), private_randomness(seed):
            before = weights_of(attacked)
            with under_attack(attacked), threads_for(attacked):
                result = preparation(view, data, seed)
            view.close()
            restore_weights(attacked, before)
        found = Prepared(result, int(view.queries.sum()), time.perf_counter() - started)
        known.append((preparation, cell.seed, attack.grant.access, found))
        return found

    def _tampered(self, cell: Cell, fit: Fit, attack: Attack[Any]) -> nn.Module:
        seed = Seed(cell.seed).child("tamper", cell.attack.name)
        own = deepcopy(self.trainings.victim(fit))
        victim = returned(attack.tamper(own, cell.budget, seed), nn.Module, attack, "tamper").eval()
        return self._harden(fit, cell.defense, victim).eval()

    def examples(self, cell: Cell) -> Batch:
        """The test examples of a cell: a seeded choice of `max_examples`, in the dataset's order."""
        name = str(cell.dataset)
        if name not in self._examples:
            self._examples[name] = chosen_examples(
                self.catalog.dataset(cell.dataset), self.experiment.max_examples
            )
        return self._examples[name]


def chosen_examples(dataset: Dataset, most: int | None) -> Batch:
    """At most `most` test examples, chosen by a hash of their ids, in the dataset's order."""
    examples = dataset.split("test")
    twice = [name for name, count in Counter(examples.ids).items() if count > 1]
    if twice:
        raise DataError(
            f"the test split names an example twice: '{twice[0]}'; every example needs an id of its own"
        )
    if most is None or len(examples) <= most:
        return examples
    lots = Seed(0).child("examples").draws(examples.ids).bits(1).squeeze(1)
    return examples.select(torch.sort(lots.argsort()[:most]).values)
