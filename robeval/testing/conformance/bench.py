"""A small world in which one plugin is looked at: a few examples, a small victim, everything through the engine."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robeval.arrays import Batch, per_example
from robeval.engine.cache import Cache, cache_directory
from robeval.engine.catalog import acts
from robeval.engine.evaluate import Evaluator
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import Cell, Plan, make_plan
from robeval.engine.precision import converted
from robeval.engine.progress import Watcher
from robeval.engine.stage import Stage
from robeval.errors import QueryBudgetSpent, RobevalError
from robeval.plugins.contracts import Attack, Defense, Domain
from robeval.plugins.data import Dataset
from robeval.plugins.freezing import under_attack
from robeval.plugins.options import configure, describe
from robeval.plugins.registry import Entry, Registry
from robeval.plugins.specs import PluginSpec
from robeval.plugins.victim import Victim
from robeval.plugins.views import View
from robeval.results.store import RunFolder
from robeval.seeding import Seed
from robeval.testing.conformance.check import Broken, NotApplicable

EXAMPLES = 3
FEW_STEPS = 2
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""Float32 results of the same arithmetic in another order differ by less."""


@dataclass
class Bench:
    """One plugin and the world around it."""

    kind: str
    name: str
    target: type | Entry
    domain_name: str
    registry: Registry
    options: Mapping[str, Any] = field(default_factory=dict)
    dataset_spec: str | None = None
    victim_spec: str | None = None

    @cached_property
    def cls(self) -> type:
        """The plugin's class, imported on first use."""
        loaded: type = self.target.load() if isinstance(self.target, Entry) else self.target
        return loaded

    @cached_property
    def effective(self) -> dict[str, Any]:
        """The given options; an attack's steps are cut short unless they are given."""
        chosen = dict(self.options)
        counts = getattr(self.cls, "counts", None)
        if self.kind == "attack" and counts and counts not in chosen:
            known = {option.name: option for option in describe(self.cls)}
            if counts in known and known[counts].default.isdigit():
                chosen[counts] = min(FEW_STEPS, int(known[counts].default))
        return chosen

    def make(self) -> Any:
        """A new instance of the plugin. NotApplicable where an option is missing that has no default."""
        self.needs_no_more_options()
        return configure(self.cls, self.effective, f"{self.kind} '{self.name}'")

    def needs_no_more_options(self) -> None:
        """Raises NotApplicable with the options that must be given, such as a folder with data."""
        missing = [o.name for o in describe(self.cls) if o.required and o.name not in self.effective]
        if missing:
            raise NotApplicable(f"give the option {', '.join(missing)}: checks(..., options={{...}})")

    @cached_property
    def plugin(self) -> Any:
        """The plugin, configured."""
        return self.make()

    @cached_property
    def spec(self) -> PluginSpec:
        """The plugin as an experiment names it."""
        return PluginSpec(name=self.name, options=self.effective)

    @cached_property
    def plan(self) -> Plan:
        """An experiment in which the plugin is used once."""
        if self.kind != "domain":
            self.needs_no_more_options()
        small = self.registry.load("domain", self.domain_name).defaults
        dataset, victim = small.small or (small.dataset, small.victim)
        chosen: dict[str, Any] = {
            "domain": self.domain_name,
            "datasets": PluginSpec.parse(self.dataset_spec or dataset),
            "victims": PluginSpec.parse(self.victim_spec or victim),
            "attacks": PluginSpec(name="none"),
            "defenses": PluginSpec(name="none"),
            "max_examples": EXAMPLES,
            "execution": {"accelerator": "cpu"},
        }
        if self.kind != "domain":
            chosen[f"{self.kind}s"] = self.spec
        return make_plan(build_experiment(**chosen), self.registry)

    @property
    def cell(self) -> Cell:
        """The one cell of that experiment. NotApplicable where the engine refuses the combination."""
        cell = next(cell for cell in self.plan.cells if cell.attack.name != "certificate")
        if cell.refused:
            raise NotApplicable(f"the engine refuses the combination: {cell.refused}")
        return cell

    @cached_property
    def evaluator(self) -> Evaluator:
        """What trains and hardens; trained victims are kept in the user's cache."""
        folder = Path(tempfile.mkdtemp(prefix="robeval-conformance-"))
        return Evaluator(
            self.plan.experiment, self.plan.catalog, Cache(cache_directory()), RunFolder(folder), Watcher()
        )

    @cached_property
    def stage(self) -> Stage:
        """Victim, defense and attack, ready."""
        return self.evaluator.stages.stage(self.cell)

    @property
    def domain(self) -> Domain[Any]:
        """The domain."""
        return self.plan.catalog.domain

    @cached_property
    def examples(self) -> Batch:
        """A few test examples."""
        return self.evaluator.stages.examples(self.cell)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset of the experiment."""
        return self.plan.catalog.dataset(self.cell.dataset)

    def training_data(self) -> Dataset:
        """The dataset as plugins get it: without the test split."""
        return self.evaluator.trainings.data(self._fit())

    def victim(self) -> Victim:
        """A copy of the trained victim, in evaluation mode."""
        return copy.deepcopy(self.evaluator.trainings.victim(self._fit())).eval()

    def _fit(self) -> Any:
        from robeval.engine.plan import victim_fit

        return victim_fit(self.cell, self.plan.catalog, defended=False)

    def needs(self, hook: str) -> Any:
        """The plugin, if it overrides a hook. NotApplicable otherwise."""
        plugin = self.plugin
        if isinstance(plugin, Attack | Defense) and not acts(plugin, hook):
            raise NotApplicable(f"{self.name} has no {hook} of its own")
        return plugin

    def attacked(
        self, batch: Batch, *, budget: float | None = None, seed: int = 0
    ) -> tuple[Batch, View[Any]]:
        """What the attack makes of a copy of `batch`, and the view with its counts."""
        stage, attack = self.stage, self.needs("perturb")
        prepared = stage.prepared.result if stage.prepared else None
        before = stage.original
        view: View[Any] = View(
            stage.attacked,
            stage.domain,
            stage.threat,
            batch.ids,
            draws=stage.draws,
            prepared=prepared,
            original=(lambda: before().to(batch.device)) if before is not None else None,
        )
        draw = Seed(seed).child("conformance").draws(batch.ids, batch.device)
        with under_attack(stage.attacked):
            try:
                found = attack.perturb(view, batch, stage.budget if budget is None else budget, draw)
            except QueryBudgetSpent:
                found = view.submitted if view.submitted is not None else batch
            finally:
                view.close()
        if not isinstance(found, type(batch)):
            raise Broken(
                f"perturb returned {type(found).__name__}, expected {type(batch).__name__}. "
                "Return batch.replace(...) with the changed tensors"
            )
        return found.replace(**{name: value.detach() for name, value in found.tensors().items()}), view

    @contextmanager
    def in_double(self) -> Iterator[None]:
        """The victims of the stage in float64, so that chaotic loops do not amplify rounding."""
        victims = [self.stage.judged, self.stage.attacked]
        if self.kind == "attack" and self.stage.original is not None:
            victims.append(self.stage.original())
        for victim in victims:
            victim.double()
        try:
            yield
        finally:
            for victim in victims:
                victim.float()


def clone(batch: Batch) -> Batch:
    """A copy that shares no memory."""
    return batch.replace(**{name: value.clone() for name, value in batch.tensors().items()})


def double(batch: Batch) -> Batch:
    """The batch in float64."""
    widened: Batch = converted(batch, torch.double)
    return widened


def answer_of(bench: Bench, victim: nn.Module, batch: Batch, *, lent: bool = False) -> Tensor:
    """The victim's answer in the domain's one tensor; it gets a copy of the batch, or the `lent` batch itself."""
    with torch.no_grad():
        return bench.domain.answer(victim(batch if lent else clone(batch)))


def differing(one: Batch, other: Batch) -> dict[str, list[str]]:
    """Fields that differ by more than rounding, and the examples in which they do."""
    found: dict[str, list[str]] = {}
    for entry in fields(one):
        mine, theirs = getattr(one, entry.name), getattr(other, entry.name)
        if isinstance(mine, Tensor):
            rows = ~alike(mine, theirs)
            names = [name for name, bad in zip(one.ids, rows.tolist(), strict=True) if bad]
        elif isinstance(mine, tuple):
            names = [name for name, a, b in zip(one.ids, mine, theirs, strict=True) if a != b]
        else:
            names = list(one.ids) if mine != theirs else []
        if names:
            found[entry.name] = names
    return found


def alike(one: Tensor, other: Tensor) -> Tensor:
    """Which examples agree up to rounding: bool [batch]."""
    if one.shape != other.shape:
        return torch.zeros(len(one), dtype=torch.bool)
    if not one.is_floating_point():
        return per_example(one == other).all(dim=1)
    close = torch.isclose(one.double(), other.double(), rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    return per_example(close).all(dim=1)


def told(differences: Mapping[str, Sequence[str]]) -> str:
    """Differences in words."""
    return ", ".join(
        f"'{name}' of {len(ids)} examples (first: {ids[0]})" for name, ids in differences.items()
    )


@contextmanager
def global_randomness(seed: int) -> Iterator[None]:
    """Torch's, numpy's and Python's global generators seeded inside, as before outside."""
    import random

    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def fitting(function: Any, *arguments: Any) -> Any:
    """The function's result. NotApplicable when float64 is not supported by the plugin's libraries."""
    try:
        return function(*arguments)
    except RobevalError:
        raise
    except (RuntimeError, TypeError) as error:
        raise NotApplicable(f"does not run in float64: {error}") from error
