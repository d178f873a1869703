"""From an experiment to cells and the trainings that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from robeval.engine.catalog import Catalog, acts
from robeval.engine.experiment import Experiment
from robeval.engine.worst_of import CERTIFICATE as CERTIFICATE
from robeval.engine.worst_of import WORST_OF as WORST_OF
from robeval.engine.worst_of import with_worst_of
from robeval.errors import UnknownPlugin, UsageError
from robeval.plugins.registry import Registry
from robeval.plugins.specs import PluginSpec

NONE = PluginSpec(name="none")


@dataclass(frozen=True)
class Fit:
    """A training: the victim that comes out is shared by every cell that names the same one."""

    dataset: PluginSpec
    victim: PluginSpec
    seed: int
    defense: PluginSpec = NONE
    attack: PluginSpec = NONE
    budget: float = 0.0
    role: str = "victim"
    """`surrogate` trains from other initial weights than the victim of the same name."""

    def __str__(self) -> str:
        defended = "" if self.defense == NONE else f" with {self.defense}"
        poisoned = "" if self.attack == NONE else f", poisoned by {self.attack}"
        return f"{self.role} {self.victim}{defended}{poisoned} (seed {self.seed})"


@dataclass(frozen=True)
class Cell:
    """The unit of work, of caching and of resuming."""

    domain: str
    dataset: PluginSpec
    victim: PluginSpec
    attack: PluginSpec
    defense: PluginSpec
    knowledge: str
    budget: float
    seed: int
    refused: str | None = field(default=None, compare=False)
    """Why the combination is impossible (`n/a`), if it is."""
    counter: str = ""
    """The counter-measure that the attacker takes: `straight-through`, `expectation`, or none."""
    source: float | None = field(default=None, compare=False)
    """The budget of the cell that this one is read off, for attacks that return minimal perturbations."""
    members: tuple[Cell, ...] = field(default=(), compare=False)
    """The cells that a worst-of row chooses from, example by example."""

    @cached_property
    def id(self) -> str:
        """A short stable name of the combination."""
        parts = (self.domain, self.dataset, self.victim, self.attack, self.defense, self.knowledge)
        counter = [self.counter] if self.counter else []
        text = "\x1f".join([*map(str, parts), f"{self.budget:.9g}", str(self.seed), *counter])
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def __str__(self) -> str:
        said = ", ".join(word for word in (self.knowledge, self.counter) if word not in ("adaptive", ""))
        return f"{self.attack}{f' ({said})' if said else ''} vs {self.defense} on {self.victim}"


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment in matrix order."""

    experiment: Experiment
    catalog: Catalog
    cells: tuple[Cell, ...]

    def fits(self) -> list[Fit]:
        """The trainings that the cells need, each once, warm starts before what they start."""
        found: dict[Fit, None] = {}
        for cell in self.cells:
            for fit in fits_of(cell, self.catalog):
                found.setdefault(fit)
        return list(found)

    @property
    def note(self) -> str:
        """What the figures can be read for: the profile's word, and the datasets'."""
        name = self.experiment.profile
        said = [f"profile {name}: {self.catalog.domain.defaults.profiles[name].meaning}"] if name else []
        for spec in self.experiment.datasets:
            caveat: str = getattr(self.catalog.cls("dataset", spec), "caveat", "")
            said += [f"dataset {spec.name}: {caveat}"] if caveat else []
        return " · ".join(said)


def make_plan(experiment: Experiment, registry: Registry) -> Plan:
    """All combinations, impossible ones marked with the reason.

    Raises UnknownPlugin, OptionError or UsageError for what the user mistyped.
    """
    catalog = Catalog(registry, registry.find("domain", experiment.domain).name)
    experiment = with_defaults(experiment, catalog)
    cells = tuple(_expanded(experiment, catalog))
    if experiment.worst_of:
        cells = tuple(with_worst_of(cells, catalog))
    plan = Plan(experiment, catalog, cells)
    plan.fits()  # names every training once, so that a mistyped surrogate is said before anything runs
    return plan


def with_defaults(experiment: Experiment, catalog: Catalog) -> Experiment:
    """The experiment with every name checked and the domain's defaults where it said nothing."""
    defaults = catalog.domain.defaults.under(experiment.profile)

    def chosen(kind: str, given: tuple[PluginSpec, ...], usual: tuple[str, ...]) -> tuple[PluginSpec, ...]:
        wanted = given or tuple(PluginSpec.parse(text) for text in usual)
        return tuple(dict.fromkeys(catalog.canonical(kind, spec) for spec in wanted))

    is_untouched = not (
        experiment.datasets or experiment.victims or experiment.attacks or experiment.defenses
    )
    most = experiment.max_examples
    if most is None and (is_untouched or not experiment.datasets):
        most = defaults.max_examples
    return experiment.model_copy(
        update={
            "domain": catalog.name,
            "datasets": chosen("dataset", experiment.datasets, (defaults.dataset,)),
            "victims": chosen("victim", experiment.victims, (defaults.victim,)),
            "attacks": chosen("attack", experiment.attacks, defaults.attacks),
            "defenses": chosen("defense", experiment.defenses, defaults.defenses),
            "max_examples": most,
        }
    )


def _expanded(experiment: Experiment, catalog: Catalog) -> Iterator[Cell]:
    seeds = range(experiment.seed, experiment.seed + experiment.seeds)
    for dataset in experiment.datasets:
        for victim in experiment.victims:
            for row in _rows(experiment, catalog):
                for defense in experiment.defenses:
                    refused = refusal(catalog, victim, row[0], defense)
                    for seed in seeds:
                        attack, budget, knowledge, source = row
                        yield Cell(
                            catalog.name,
                            dataset,
                            victim,
                            attack,
                            defense,
                            knowledge,
                            budget,
                            seed,
                            refused,
                            source=source,
                        )


def _rows(experiment: Experiment, catalog: Catalog) -> Iterator[tuple[PluginSpec, float, str, float | None]]:
    attacks = sorted(experiment.attacks, key=lambda spec: spec.name != "none")
    for spec in attacks:
        attack = catalog.attack(spec)
        asks = attack.grant.access not in ("none", "data", "weights")
        own = attack.grant.budget.default
        budgets = (own,) if not attack.perturbs else (experiment.budgets or (own,))
        for budget in budgets:
            source = max(budgets) if attack.minimal and budget < max(budgets) else None
            for knowledge in experiment.knowledge if asks and not attack.transfers_from else ("adaptive",):
                yield spec, budget, knowledge, source
    if any(catalog.defense(spec).certifies for spec in experiment.defenses):
        yield CERTIFICATE, 0.0, "adaptive", None


def refusal(catalog: Catalog, victim: PluginSpec, attack: PluginSpec, defense: PluginSpec) -> str | None:
    """Why a pair cannot be run, or None."""
    defender = catalog.defense(defense)
    if attack == CERTIFICATE:
        return None if defender.certifies else f"'{defense.name}' proves no bound"
    steps = catalog.effective("victim", victim).get(
        "steps", getattr(catalog.cls("victim", victim), "steps", 0)
    )
    if acts(defender, "robustify") and not steps:
        return f"'{defense.name}' trains its victim, and '{victim.name}' has nothing to train"
    if acts(catalog.attack(attack), "poison") and not steps:
        return f"'{attack.name}' poisons training data, and '{victim.name}' has nothing to train"
    return None


def victim_fit(cell: Cell, catalog: Catalog, *, defended: bool = True) -> Fit:
    """The training behind a cell's victim; with ``defended=False`` the victim without its defense."""
    defense = NONE
    if defended and any(acts(catalog.defense(cell.defense), hook) for hook in ("robustify", "sanitize")):
        defense = cell.defense
    poisons = cell.attack != CERTIFICATE and acts(catalog.attack(cell.attack), "poison")
    attack, budget = (cell.attack, cell.budget) if poisons else (NONE, 0.0)
    return Fit(cell.dataset, cell.victim, cell.seed, defense, attack, budget)


def warm_start(fit: Fit, catalog: Catalog) -> Fit | None:
    """The training that another one starts from, if any."""
    if not catalog.defense(fit.defense).warm_start:
        return None
    return Fit(fit.dataset, fit.victim, fit.seed, NONE, fit.attack, fit.budget, fit.role)


def surrogate_fit(cell: Cell, catalog: Catalog) -> Fit | None:
    """The training of the surrogate that a transfer attack names, if it names one."""
    named = None if cell.attack == CERTIFICATE else catalog.attack(cell.attack).transfers_from
    if not named:
        return None
    try:
        spec = catalog.canonical("victim", PluginSpec.parse(str(named)))
    except UnknownPlugin as error:
        raise UsageError(f"surrogate of attack '{cell.attack.name}': {error}") from None
    return Fit(cell.dataset, spec, cell.seed, role="surrogate")


def fits_of(cell: Cell, catalog: Catalog) -> list[Fit]:
    """Every training that a cell needs, in order."""
    if cell.refused or cell.members:
        return []
    wanted = [victim_fit(cell, catalog)]
    if cell.knowledge == "oblivious":
        wanted.append(victim_fit(cell, catalog, defended=False))
    surrogate = surrogate_fit(cell, catalog)
    if surrogate:
        wanted.append(surrogate)
    starts = [warm_start(fit, catalog) for fit in wanted]
    return [*(start for start in starts if start), *wanted]
