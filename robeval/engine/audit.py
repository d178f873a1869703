"""The audit of a run: the further cells that the checks ask for, their answers, and counter-measures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robeval.engine.cache import Cache
from robeval.engine.case import AuditedCase, Bench
from robeval.engine.catalog import Catalog
from robeval.engine.evaluate import Evaluator
from robeval.engine.plan import CERTIFICATE, WORST_OF, Cell, Plan
from robeval.engine.progress import Watcher
from robeval.engine.run import guarded
from robeval.errors import StoreError, UsageError
from robeval.plugins.options import configure
from robeval.plugins.specs import PluginSpec
from robeval.results.audit import AuditEntry, AuditRecord, CheckRecord, Rescored, write_audit
from robeval.results.records import RunRecord
from robeval.results.store import RunFolder
from robeval.trust.audit.contract import AuditCheck, Outcome

EXAMPLES = 32
"""Examples of the further cells, unless more are asked for: enough to see what an audit looks for."""
RELAYS = ("straight-through", "expectation")


@dataclass(frozen=True)
class Named:
    """A configured check under its registered name."""

    name: str
    check: AuditCheck


def chosen_checks(catalog: Catalog, specs: Sequence[PluginSpec] = ()) -> list[Named]:
    """The named checks, or all that the domain can use. Raises UnknownPlugin or OptionError."""
    wanted = specs or [PluginSpec(name=entry.name) for entry in catalog.registry.of("check", catalog.name)]
    found = []
    for spec in wanted:
        entry = catalog.registry.find("check", spec.name, catalog.name)
        made = configure(entry.load(), spec.options, f"check '{spec.name}'")
        if not isinstance(made, AuditCheck):
            raise UsageError(f"check '{spec.name}' is no AuditCheck; see robeval.trust.audit.contract")
        found.append(Named(entry.short, made))
    return found


def audit(
    plan: Plan,
    folder: Path,
    cache: Cache,
    watcher: Watcher,
    *,
    checks: Sequence[PluginSpec] = (),
    examples: int = EXAMPLES,
    counter: bool = False,
    debug: bool = False,
) -> AuditRecord:
    """Ask every check of every attacked cell of a finished run, and write `audit.json` beside it.

    Further cells live in the run's folder `audit/` and in the cache. With `counter` every flag that has a
    counter-measure is answered by further rows of the run itself. Raises StoreError when the run is not finished
    with the code and data that are here now.
    """
    named = chosen_checks(plan.catalog, checks)
    with RunFolder(folder).held():
        return _conducted(plan, folder, cache, watcher, named, examples, counter=counter, debug=debug)


def _conducted(
    plan: Plan,
    folder: Path,
    cache: Cache,
    watcher: Watcher,
    named: Sequence[Named],
    examples: int,
    *,
    counter: bool,
    debug: bool,
) -> AuditRecord:
    """The audit itself, in a folder that is this process's."""
    started = time.perf_counter()
    bench = Bench(plan, folder, cache, watcher, examples, debug=debug)
    cells = attacked(plan, bench.main)
    entries: list[AuditEntry] = []
    watcher.plan(len(cells))
    for cell in cells:
        case = AuditedCase(bench, cell)
        answers = [entry(each.name, cell, each.check.judge(case)) for each in named]
        entries += answers
        flags = [answer.check for answer in answers if answer.outcome == "flag"]
        watcher.finished_cell(f"audit of {cell}: {', '.join(flags) or 'nothing to object'}", cached=False)
    rescored = countered(bench, cells, entries, debug=debug) if counter else []
    found = AuditRecord(
        checks=[CheckRecord(name=each.name, question=each.check.question) for each in named],
        examples=examples,
        seconds=round(time.perf_counter() - started, 3),
        entries=entries,
        rescored=rescored,
    )
    write_audit(folder, found)
    return found


def attacked(plan: Plan, evaluator: Evaluator) -> list[Cell]:
    """The cells that an audit is about: finished attacks. Raises StoreError when there is none."""
    found = []
    for cell in plan.cells:
        if cell.refused or cell.members or cell.attack == CERTIFICATE:
            continue
        if not plan.catalog.attack(cell.attack).perturbs:
            continue
        if evaluator.folder.finished(cell.id, evaluator.key(cell)) is not None:
            found.append(cell)
    if not found:
        raise StoreError(
            f"{evaluator.folder.path} has no finished attack that the code, data and options here now would give "
            "again. Run the experiment first; then audit it."
        )
    return found


def entry(check: str, cell: Cell, outcome: Outcome) -> AuditEntry:
    """A check's answer as it is kept."""
    flagged = outcome.result == "flag"
    return AuditEntry(
        check=check,
        cell=cell.id,
        outcome=outcome.result,
        severity=outcome.severity if flagged else "ok",
        evidence=outcome.evidence,
        advice=outcome.advice if flagged else "",
        counter=outcome.counter if flagged else "",
    )


def countered(
    bench: Bench, cells: Iterable[Cell], entries: Sequence[AuditEntry], *, debug: bool = False
) -> list[Rescored]:
    """Run the counter-measures of all flags as further rows, and the worst of each flagged cell and its own."""
    added: dict[str, Cell] = {}
    found = []
    planned = {cell.id for cell in bench.plan.cells}
    for cell in cells:
        if cell.knowledge == "oblivious":
            continue  # an attacker who does not know the defense has nothing to counter
        wanted = dict.fromkeys(e.counter for e in entries if e.cell == cell.id and e.counter)
        answers = [counter_cell(bench.plan.catalog, cell, name) for name in wanted]
        answers = [answer for answer in answers if answer.id != cell.id]
        done = []
        for answer in answers:
            record, _ = guarded(bench.main, answer, debug=debug)
            if record.status == "done":
                done.append(answer)
            added.setdefault(answer.id, answer)
        if not done:
            continue
        options = {"access": bench.plan.catalog.attack(cell.attack).grant.access, "of": str(cell.attack)}
        members = (cell, *done)
        worst = replace(cell, attack=PluginSpec(name=WORST_OF, options=options), members=members, source=None)
        guarded(bench.main, worst, debug=debug)
        added.setdefault(worst.id, worst)
        found.append(Rescored(cell=cell.id, counters=[answer.id for answer in done], worst=worst.id))
    append_cells(bench.main.folder, [name for name in added if name not in planned])
    return found


def counter_cell(catalog: Catalog, cell: Cell, name: str) -> Cell:
    """The audited cell under a counter-measure: another gradient, or another attack."""
    if name == "oblivious":
        return replace(cell, knowledge="oblivious", counter="", source=None)
    if name in RELAYS:
        return replace(cell, counter=name, source=None)
    spec = catalog.canonical("attack", PluginSpec.parse(name))
    return replace(cell, attack=spec, knowledge="adaptive", counter="", source=None)


def append_cells(folder: RunFolder, cells: Sequence[str]) -> None:
    """Let the run list further cells, so that every report shows them."""
    path = folder.path / "run.json"
    run = RunRecord.model_validate_json(path.read_bytes())
    more = [cell for cell in cells if cell not in run.cells]
    folder.write_run(run.model_copy(update={"cells": [*run.cells, *more]}))
