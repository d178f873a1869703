"""Any example of a finished run again, from what the run kept: for pictures and for a closer look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from robeval.engine.cache import Cache, cache_directory
from robeval.engine.evaluate import Evaluator
from robeval.engine.experiment import Experiment
from robeval.engine.plan import NONE, WORST_OF, Cell, Plan, make_plan
from robeval.engine.progress import Watcher
from robeval.errors import MissingFile, StoreError
from robeval.plugins.contracts import Domain, Trial
from robeval.plugins.discovery import discover
from robeval.plugins.specs import PluginSpec
from robeval.results.records import CellRecord, RunRecord
from robeval.results.store import RunFolder


def trial(
    folder: Path, cell_id: str, example_ids: Sequence[str], *, cache: Path | None = None
) -> tuple[Domain[Any], Trial[Any]]:
    """The domain, and the trial of some examples of a cell, in the order asked.

    The victim comes from the cache (or is trained again); the adversarial tensors come from the run's artifacts.
    `cache` is the user's unless given. Raises MissingFile or StoreError.
    """
    plan = plan_of(folder)
    cell = next((cell for cell in plan.cells if cell.id == cell_id), None) or _added(folder, plan, cell_id)
    evaluator = _evaluator(plan, folder, cache or cache_directory())
    if evaluator.folder.finished(cell_id, evaluator.key(cell)) is None:
        raise StoreError(
            f"cell '{cell_id}' ({cell}) was made by other code, data or weights than are here now, "
            "so what it shows cannot be drawn again. Run the experiment again first."
        )
    examples = evaluator.stages.examples(cell)
    place = {name: number for number, name in enumerate(examples.ids)}
    missing = [name for name in example_ids if name not in place]
    if missing:
        raise StoreError(
            f"cell '{cell_id}' has no example {missing[0]!r}; did the dataset change since the run?"
        )
    rows = torch.tensor([place[name] for name in example_ids])
    clean = examples.select(rows)
    path = folder / f"artifacts/{cell_id}.safetensors"
    changed = {name: value[rows] for name, value in load_file(path).items()} if path.is_file() else {}
    adversarial = clean.replace(**changed)
    victim = evaluator.stages.judged(cell)
    with torch.no_grad():
        answers = victim(clean), victim(adversarial)
    original = None if cell.defense == NONE else evaluator.stages.original(cell)
    return plan.catalog.domain, Trial(victim, clean, adversarial, *answers, original=original)


def _added(folder: Path, plan: Plan, cell_id: str) -> Cell:
    """A row that an audit added, from its record. Raises StoreError for any other."""
    path = folder / f"cells/{cell_id}.json"
    record = CellRecord.model_validate_json(path.read_bytes()) if path.is_file() else None
    for cell in plan.cells if record else ():
        assert record is not None
        attack = PluginSpec.parse(record.attack)
        found = replace(
            cell, attack=attack, counter=record.counter, knowledge=record.knowledge, source=None, members=()
        )
        if found.id == cell_id and attack.name != WORST_OF:
            return found
    raise StoreError(f"{folder} has no cell '{cell_id}' that can be drawn again")


_plans: dict[str, Plan] = {}
_evaluators: dict[str, Evaluator] = {}


def plan_of(folder: Path) -> Plan:
    """The plan of a finished run, from its own record. Raises MissingFile without one."""
    key = str(folder.resolve())
    if key not in _plans:
        path = folder / "run.json"
        if not path.is_file():
            raise MissingFile(path, "A run folder is what `robeval run` writes.")
        run = RunRecord.model_validate_json(path.read_bytes())
        experiment = Experiment.model_validate(run.experiment)
        _plans[key] = make_plan(experiment, discover([Path(name) for name in experiment.plugins]))
    return _plans[key]


def _evaluator(plan: Plan, folder: Path, cache: Path) -> Evaluator:
    key = str(folder.resolve())
    if key not in _evaluators:
        _evaluators[key] = Evaluator(
            plan.experiment, plan.catalog, Cache(cache), RunFolder(folder), Watcher()
        )
    return _evaluators[key]
