"""Do the checks catch what they must, and nothing else? Canaries and honest cells under one audit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robeval.engine.audit import audit
from robeval.engine.cache import Cache
from robeval.engine.experiment import Experiment
from robeval.engine.plan import Plan, make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.contracts import Domain
from robeval.plugins.registry import Registry
from robeval.plugins.specs import PluginSpec
from robeval.report.summary import read_run
from robeval.results.audit import read_audit
from robeval.testing import canaries

EXAMPLES = 32
BROKEN = {
    "canary-quantised": "gradient-path",
    "canary-saturated": "gradient-path",
    "canary-rippled": "noisy-gradient",
    "canary-nan": "finite-outputs",
}
"""Each broken defense and the check that must object to it."""
WEAK = "random-noise"
"""The check that must object to a weak attack."""


@dataclass(frozen=True)
class Proof:
    """One cell and what was said of it."""

    cell: str
    expected: str
    """The check that must object; empty for an honest cell, which nobody may object to."""
    found: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the checks said what they must."""
        return self.expected in self.found if self.expected else not self.found


def provable(domain: type[Domain]) -> bool:
    """Whether the domain names what a proof needs: continuous inputs, a strong attack and a weak one."""
    return bool(domain.continuous and domain.probes.strong and domain.probes.weak)


def experiment_for(domain: type[Domain]) -> Experiment:
    """Honest and broken defenses, a strong and a weak attack."""
    probes = domain.probes
    assert probes.strong is not None
    assert probes.weak is not None
    fields = [*domain.continuous]
    broken = [
        PluginSpec(name=name, options={} if name == "canary-nan" else {"fields": fields}) for name in BROKEN
    ]
    return Experiment(
        domain=domain.name,
        attacks=(PluginSpec(name="none"), PluginSpec.parse(probes.strong), PluginSpec.parse(probes.weak)),
        defenses=(PluginSpec(name="none"), *broken),
        max_examples=EXAMPLES,
    )


def prove(
    domain: str, registry: Registry, cache: Cache, folder: Path, watcher: Watcher | None = None
) -> list[Proof]:
    """Run and audit the canaries of a domain in `folder`; `registry` gets them added.

    Raises UsageError when the domain names no strong and weak attack.
    """
    canaries.register(registry)
    watcher = watcher or Watcher()
    cls = registry.load("domain", domain)
    plan = make_plan(experiment_for(cls), registry)
    run(plan, folder, cache, watcher, command="robeval doctor --canaries")
    audit(plan, folder, cache, watcher, examples=EXAMPLES)
    return judged(plan, folder, cls)


def judged(plan: Plan, folder: Path, domain: type[Domain]) -> list[Proof]:
    """Each attacked cell with the checks that objected to it."""
    assert domain.probes.weak is not None
    weak = str(plan.catalog.canonical("attack", PluginSpec.parse(domain.probes.weak)))
    strong = str(plan.catalog.canonical("attack", PluginSpec.parse(domain.probes.strong or "")))
    found: dict[str, set[str]] = {}
    for cell in read_run(folder).cells:
        found[cell.id] = {evidence.check for evidence in cell.evidence}
    assert read_audit(folder) is not None
    proofs = []
    for planned in plan.cells:
        attack, defense = str(planned.attack), planned.defense.name
        if attack == strong:
            expected = BROKEN.get(defense, "")
        elif attack == weak and defense == "none":
            expected = WEAK
        else:
            continue
        proofs.append(Proof(str(planned), expected, tuple(sorted(found.get(planned.id, set())))))
    return proofs
