"""From per-example outcomes to a cell's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robeval.engine.catalog import Catalog
from robeval.engine.plan import CERTIFICATE, WORST_OF, Cell
from robeval.plugins.contracts import Certifies, Domain, Metric
from robeval.plugins.none import NoAttack
from robeval.plugins.threat import Budget
from robeval.results.records import BudgetRecord, CellRecord, Cost, Evidence, Figure, Status, Verdict
from robeval.results.store import MEASURED, Rows
from robeval.statistics.intervals import Column, intervals
from robeval.trust.checks import judge
from robeval.trust.facts import Facts

MEMORY_NOTES = ("split_for_memory", "over_max_memory")
"""Examples that were attacked in smaller batches than asked, or that took more than they may."""
NO_COST = Cost(forward=0, backward=0, queries=0, seconds=0)


def figures(metrics: Sequence[Metric], rows: Rows, chosen: np.ndarray | None = None) -> dict[str, Figure]:
    """Every metric that the examples have values for, with interval and n; over the `chosen` examples only."""
    everything = np.ones(len(rows), dtype=bool) if chosen is None else chosen
    columns, known = {}, {}
    for metric in metrics:
        if metric.column not in rows.columns or (metric.per and metric.per not in rows.columns):
            continue
        per = rows.columns[metric.per][everything] if metric.per else None
        columns[metric.name] = Column(
            rows.columns[metric.column][everything], per, metric.kind == "proportion"
        )
        known[metric.name] = metric
    clusters = np.asarray(rows.texts["cluster"])[everything]
    found = intervals(columns, clusters)
    return {
        name: Figure(
            value=_finite(result.value),
            low=_finite(result.low),
            high=_finite(result.high),
            unit=known[name].unit,
            direction=known[name].direction,
            n=result.n,
        )
        for name, result in found.items()
    }


def figures_by_group(metrics: Sequence[Metric], rows: Rows) -> dict[str, dict[str, Figure]]:
    """The same by group of examples; nothing where there is one group only."""
    names = sorted(set(rows.texts["group"]) - {""})
    groups = np.asarray(rows.texts["group"])
    return {name: figures(metrics, rows, groups == name) for name in names} if len(names) > 1 else {}


def finished_record(cell: Cell, catalog: Catalog, rows: Rows, judged: Any) -> CellRecord:
    """The record of a cell whose examples are all done."""
    domain = catalog.domain
    metrics = domain.metrics
    facts = _facts(cell, catalog, rows)
    verdict, findings = judge(facts)
    n = max(len(rows), 1)
    notes: dict[str, int] = {}
    for note in " ".join(rows.texts["note"]).split():
        notes[note] = notes.get(note, 0) + 1
    observed = rows.observed
    notes |= {name: int(observed[name]) for name in MEMORY_NOTES if observed.get(name)}
    return blank_record(cell, catalog, judged).model_copy(
        update={
            "n": len(rows),
            "invalid": facts.count("invalid"),
            "status": "done",
            "metrics": figures(metrics, rows),
            "groups": figures_by_group(metrics, rows),
            "cost": Cost(
                forward=observed.get("forward", 0.0) / n,
                backward=observed.get("backward", 0.0) / n,
                queries=observed.get("queries", 0.0) / n,
                seconds=observed.get("seconds", 0.0),
                overhead=_overhead(observed),
                prepared_queries=observed.get("prepared_queries", 0.0),
                prepared_seconds=observed.get("prepared_seconds", 0.0),
            ),
            "verdict": verdict,
            "evidence": [Evidence(check=f.check, severity=f.severity, message=f.message) for f in findings],
            "notes": notes,
            "measures": _measures(rows),
            "observed": dict(sorted(observed.items())),
        }
    )


def _measures(rows: Rows) -> dict[str, Figure]:
    """What the attack measured of itself: means with intervals."""
    names = [name for name in rows.columns if name.startswith(MEASURED)]
    told = [Metric(name.removeprefix(MEASURED), "", "higher", "", value=name) for name in names]
    return figures(told, rows)


def _overhead(observed: Mapping[str, float]) -> float | None:
    bare = observed.get("bare_seconds", 0.0)
    return observed.get("device_seconds", observed["seconds"]) / bare if bare > 0 else None


def blank_record(
    cell: Cell, catalog: Catalog, judged: Any = None, status: Status = "n/a", error: str | None = None
) -> CellRecord:
    """A record without figures: n/a, failed, or about to be filled."""
    verdict: Verdict = "invalid" if status == "failed" else "ok"
    budget, threat = _grant(cell, catalog, judged)
    return CellRecord(
        id=cell.id,
        domain=cell.domain,
        dataset=str(cell.dataset),
        victim=str(cell.victim),
        attack=str(cell.attack),
        defense=str(cell.defense),
        knowledge="oblivious" if cell.knowledge == "oblivious" else "adaptive",
        budget=budget,
        seed=cell.seed,
        n=0,
        invalid=0,
        status=status,
        metrics={},
        cost=NO_COST,
        verdict=verdict,
        evidence=[],
        threat=threat,
        certified=cell.attack == CERTIFICATE,
        counter=cell.counter,
        error=error,
    )


def _grant(cell: Cell, catalog: Catalog, judged: Any) -> tuple[BudgetRecord, str]:
    if cell.attack == CERTIFICATE:
        budget = judged.radius_budget if isinstance(judged, Certifies) else Budget("radius", "", 0.0)
        value = float(judged.radius) if isinstance(judged, Certifies) else 0.0
        record = BudgetRecord(name=budget.name, unit=budget.unit, value=value)
        return record, f"proven for every input with {budget.name} ≤ {value:g} {budget.unit}"
    if cell.attack.name == WORST_OF:
        return _worst_grant(cell, catalog)
    attack = catalog.attack(cell.attack)
    budget = attack.grant.budget
    granted = attack.grant.granting(cell.budget)
    text = "nothing is perturbed" if isinstance(attack, NoAttack) else str(granted)
    if attack.transfers_from:
        known = (
            f"transfer: {granted.access} on the surrogate {attack.transfers_from}, the victim is never asked"
        )
        text = known + str(granted).removeprefix(granted.access)
    return BudgetRecord(name=budget.name, unit=budget.unit, value=cell.budget), text


def _worst_grant(cell: Cell, catalog: Catalog) -> tuple[BudgetRecord, str]:
    names = list(dict.fromkeys(member.attack.name for member in cell.members))
    access = cell.attack.options["access"]
    text = f"{access}; per example the worst of {', '.join(names) or 'no attack that could be run'}"
    budget = catalog.attack(cell.members[0].attack).grant.budget
    return BudgetRecord(name=budget.name, unit=budget.unit, value=cell.budget), text


def _facts(cell: Cell, catalog: Catalog, rows: Rows) -> Facts:
    domain: Domain[Any] = catalog.domain
    headline = domain.metrics[0]
    certificate = cell.attack == CERTIFICATE
    threat = None if certificate else catalog.attack(cell.attack).grant
    return Facts(
        access=threat.access if threat else "none",
        budget=cell.budget,
        budget_unit=threat.budget.unit if threat else "",
        is_attack=not certificate and catalog.attack(cell.attack).perturbs,
        transfers=not certificate and bool(catalog.attack(cell.attack).transfers_from),
        n=len(rows),
        headline=headline.name,
        lower_is_better=headline.direction == "lower",
        observed=rows.observed,
        gradient="exact" if cell.knowledge == "oblivious" else catalog.defense(cell.defense).gradient,
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and np.isfinite(number) else None
