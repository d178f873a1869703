"""Cells that attack nothing themselves: the worst of other cells, and a budget read off a larger one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robeval.arrays import Batch
from robeval.engine.budget import check_budget
from robeval.engine.catalog import Catalog
from robeval.engine.figures import blank_record, figures, figures_by_group
from robeval.engine.plan import Cell
from robeval.errors import StoreError
from robeval.plugins.contracts import Attack, Domain
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.results.records import CellRecord, Cost, Evidence
from robeval.results.store import Rows
from robeval.seeding import Draws

OF_THE_VICTIM = ("finite-outputs", "input-range", "evaluation-mode")
"""Checks whose findings hold whatever attacked."""


@dataclass(frozen=True)
class ReadOff(Attack[Any]):
    """The examples of a run at a larger budget that fit into this one; the others stay clean.

    For attacks that return the smallest perturbation that they find: their whole security curve comes from one run.
    """

    threat: ClassVar[ThreatModel] = ThreatModel("none", Budget("read-off", "", 0.0))
    domain: Domain[Any]
    model: ThreatModel
    place: Mapping[str, int]
    adversarial: Mapping[str, Tensor]

    @property
    def grant(self) -> ThreatModel:
        """The original attack's."""
        return self.model

    def perturb(self, view: View[Any], batch: Batch, budget: float, draw: Draws) -> Batch:
        """Yesterday's adversarial examples, as far as the budget allows."""
        rows = torch.tensor([self.place[name] for name in batch.ids], dtype=torch.long)
        found = batch.replace(
            **{name: value[rows].to(batch.device) for name, value in self.adversarial.items()}
        )
        _, over, malformed = check_budget(self.domain, self.model, budget, batch, found)
        fits = ~(over | malformed)
        changes = {}
        for name, value in found.tensors().items():
            mask = fits.to(value.device).view(-1, *([1] * (value.dim() - 1)))
            changes[name] = torch.where(mask, value, batch.tensors()[name])
        return batch.replace(**changes)


def worst_rows(
    parts: Sequence[Rows], headline: str, lower_is_better: bool, clean: Batch
) -> tuple[Rows, list[int]]:
    """Per example the row of the part where the headline is worst for the defender, and which part that was.

    Ties go to the earlier part; NaN never wins. Raises StoreError when the parts hold different examples.
    """
    if any(part.texts["example"] != parts[0].texts["example"] for part in parts):
        raise StoreError("the attacks of a worst-of row were run on different examples")
    damage = np.stack([part.columns[headline] for part in parts]) * (1.0 if lower_is_better else -1.0)
    winner = np.where(np.isnan(damage), -np.inf, damage).argmax(axis=0)
    everyone = np.arange(len(winner))
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    absent = np.full(len(winner), np.nan)
    columns = {
        name: np.stack([part.columns.get(name, absent) for part in parts])[winner, everyone] for name in names
    }
    texts = {
        name: [parts[w].texts[name][row] for row, w in enumerate(winner.tolist())] for name in parts[0].texts
    }
    tensors = clean.tensors()
    changed = sorted({name for part in parts for name in part.adversarial})
    adversarial = {}
    for name in changed:
        usual = tensors[name].cpu().numpy()
        stacked = np.stack([part.adversarial.get(name, usual) for part in parts])
        adversarial[name] = stacked[winner, everyone]
    sums = (
        "forward",
        "backward",
        "queries",
        "seconds",
        "bare_seconds",
        "prepared_queries",
        "prepared_seconds",
    )
    observed = {name: sum(part.observed.get(name, 0.0) for part in parts) for name in sums}
    return Rows(texts, columns, adversarial, observed), winner.tolist()


def worst_record(
    cell: Cell, catalog: Catalog, rows: Rows, winner: Sequence[int], members: Sequence[CellRecord]
) -> CellRecord:
    """The record of a worst-of row; its cost is that of all its members together."""
    metrics = catalog.domain.metrics
    cost = {
        name: sum(getattr(member.cost, name) for member in members)
        for name in Cost.model_fields
        if name != "overhead"
    }
    evidence = [
        e
        for member in members
        for e in member.evidence
        if e.severity == "invalid" and e.check in OF_THE_VICTIM
    ]
    verdict: Any = "invalid" if evidence else "ok"
    if not evidence and all(member.verdict != "ok" for member in members):
        verdict = "suspicious"
        text = "every attack of this row is suspicious or invalid: " + ", ".join(m.attack for m in members)
        evidence = [Evidence(check="worst-of", severity="suspicious", message=text)]
    names = [str(member.attack) for member in cell.members]
    counts = {name: winner.count(place) for place, name in enumerate(names)}
    return blank_record(cell, catalog).model_copy(
        update={
            "n": len(rows),
            "invalid": sum(status == "invalid" for status in rows.texts["status"]),
            "status": "done",
            "metrics": figures(metrics, rows),
            "groups": figures_by_group(metrics, rows),
            "cost": Cost(**cost),
            "verdict": verdict,
            "evidence": list(dict.fromkeys(evidence)),
            "winners": {name: count for name, count in counts.items() if count},
        }
    )
