"""A cell under audit: what its checks may ask, answered by further cells and by the victim itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robeval.engine.cache import Cache
from robeval.engine.counters import PROBED, probe
from robeval.engine.evaluate import Evaluator
from robeval.engine.plan import CERTIFICATE, Cell, Plan, refusal, victim_fit
from robeval.engine.progress import Watcher
from robeval.engine.run import guarded
from robeval.plugins.contracts import Attack, Defense, Domain
from robeval.plugins.specs import PluginSpec
from robeval.results.records import CellRecord
from robeval.results.store import Rows, RunFolder
from robeval.statistics.comparisons import paired_comparison
from robeval.statistics.intervals import Column
from robeval.trust.audit.contract import Harm, Slopes, Want

WITHIN = 1e-6
BEATEN = 1e-4
"""Relative slack between a bound and a figure: both are computed in single precision."""


class Bench:
    """Where the further cells of an audit are made; victims are shared with the run's own evaluator."""

    def __init__(
        self, plan: Plan, folder: Path, cache: Cache, watcher: Watcher, examples: int, *, debug: bool = False
    ) -> None:
        most = plan.experiment.max_examples
        fewer = plan.experiment.model_copy(update={"max_examples": min(examples, most) if most else examples})
        self.plan, self.debug = plan, debug
        self.main = Evaluator(plan.experiment, plan.catalog, cache, RunFolder(folder), watcher)
        self.side = Evaluator(fewer, plan.catalog, cache, RunFolder(folder / "audit"), watcher)
        self.side.share(self.main)
        self.planned = {cell.id: cell for cell in plan.cells}
        self._rows: dict[str, Rows | None] = {}
        self._slopes: dict[tuple[Any, str], Slopes | None] = {}

    def own(self, cell: Cell) -> Rows:
        """What the run itself says of a cell."""
        return self.main.folder.rows(cell.id)

    def rows(self, cell: Cell) -> Rows | None:
        """A further cell's outcomes: the run's own if it has them, else made now; None if that failed."""
        if cell.id not in self._rows:
            self._rows[cell.id] = self._obtained(cell)
        return self._rows[cell.id]

    def _obtained(self, cell: Cell) -> Rows | None:
        planned = self.planned.get(cell.id)
        if planned is not None and self.main.folder.finished(cell.id, self.main.key(planned)) is not None:
            return self.own(cell)
        record, _ = guarded(self.side, cell, debug=self.debug)
        return self.side.folder.rows(cell.id) if record.status == "done" else None

    def slopes(self, cell: Cell) -> Slopes | None:
        """The gradient of the cell's defended victim, followed once."""
        place = (victim_fit(cell, self.plan.catalog), str(cell.defense))
        if place not in self._slopes:
            self._slopes[place] = self._followed(cell)
        return self._slopes[place]

    def _followed(self, cell: Cell) -> Slopes | None:
        domain = self.plan.catalog.domain
        if not domain.continuous:
            return None
        stage = self.main.stages.stage(cell)
        examples = self.side.stages.examples(cell).select(slice(0, PROBED))
        found = probe(stage.judged, domain, examples, stage.draws)
        return Slopes(found.lost_at, found.agreement, found.flat_share)


class AuditedCase:
    """One attacked cell; see `robeval.trust.audit.contract.Case`."""

    def __init__(self, bench: Bench, cell: Cell) -> None:
        self._bench, self._cell = bench, cell
        self._catalog = bench.plan.catalog
        self._headline = self._catalog.domain.metrics[0]
        self._sign = 1.0 if self._headline.direction == "lower" else -1.0
        self._rows = bench.own(cell)
        path = bench.main.folder.path / f"cells/{cell.id}.json"
        self._record = CellRecord.model_validate_json(path.read_bytes())

    @property
    def domain(self) -> Domain[Any]:
        """The domain."""
        return self._catalog.domain

    @property
    def attack(self) -> Attack[Any]:
        """The attack, configured."""
        return self._catalog.attack(self._cell.attack)

    @property
    def defense(self) -> Defense:
        """The defense, configured."""
        return self._catalog.defense(self._cell.defense)

    @property
    def attack_spec(self) -> str:
        """The attack as it is written on the command line."""
        return str(self._cell.attack)

    @property
    def knowledge(self) -> str:
        """`adaptive` or `oblivious`."""
        return self._cell.knowledge

    @property
    def budget(self) -> float:
        """What the attack may spend."""
        return self._cell.budget

    @property
    def observed(self) -> Mapping[str, float]:
        """What the engine saw while the attack ran."""
        return self._record.observed

    @property
    def is_saturated(self) -> bool:
        """Whether a proportion is at its worst end on every example."""
        return self._held(self._rows) == 0 if self._headline.kind == "proportion" else False

    def harm(self, want: Want) -> Harm | None:
        """The further cell beside this one, on the examples that both have."""
        rows = self._further(want)
        if rows is None:
            return None
        mine, theirs = _shared(self._rows, rows)
        own, other = (self._sign * part.columns[self._headline.column] for part in (mine, theirs))
        clean = self._sign * mine.columns[f"clean.{self._headline.column}"]
        both = np.isfinite(own) & np.isfinite(other) & np.isfinite(clean)
        if not both.any():
            return None
        clusters = np.asarray(mine.texts["cluster"])[both]
        first, second = Column(own[both]), Column(other[both])
        more = paired_comparison(first, second, clusters, alternative="greater")
        less = paired_comparison(first, second, clusters, alternative="less")
        return Harm(
            own=float(own[both].mean()),
            other=float(other[both].mean()),
            clean=float(clean[both].mean()),
            difference=float((other - own)[both].mean()),
            low=more.difference.low,
            high=more.difference.high,
            p_more=more.p,
            p_less=less.p,
            n=int(both.sum()),
        )

    def failure(self, want: Want) -> tuple[int, int] | None:
        """On how many examples of a further cell the victim held out."""
        rows = self._further(want)
        return None if rows is None else (self._held(rows), len(rows))

    def slopes(self) -> Slopes | None:
        """The gradient, followed through the defended victim."""
        return self._bench.slopes(self._cell)

    def beaten(self) -> tuple[int, int] | None:
        """Examples within the certified radius that are worse than their bound, and how many are within."""
        cell = next(
            (
                c
                for c in self._bench.plan.cells
                if c.attack == CERTIFICATE
                and not c.refused
                and (c.dataset, c.victim, c.defense, c.seed)
                == (self._cell.dataset, self._cell.victim, self._cell.defense, self._cell.seed)
            ),
            None,
        )
        if cell is None or self._bench.main.folder.finished(cell.id, self._bench.main.key(cell)) is None:
            return None
        path = self._bench.main.folder.path / f"cells/{cell.id}.json"
        radius = CellRecord.model_validate_json(path.read_bytes()).budget
        mine, bound = _shared(self._rows, self._bench.own(cell))
        spent = mine.columns.get(f"spent.{radius.name}")
        if spent is None:
            return None
        within = spent <= radius.value * (1 + WITHIN)
        broken = np.zeros(len(mine), dtype=bool)
        for metric in self.domain.metrics:
            if metric.column not in bound.columns or metric.column not in mine.columns:
                continue
            sign = 1.0 if metric.direction == "lower" else -1.0
            limit, value = sign * bound.columns[metric.column], sign * mine.columns[metric.column]
            broken |= value > limit + BEATEN * np.abs(limit) + WITHIN  # NaN compares as not worse
        return (int((broken & within).sum()), int(within.sum())) if within.any() else None

    def _held(self, rows: Rows) -> int:
        if self._headline.kind != "proportion":
            return int((rows.columns["success"] != 1).sum())
        values = self._sign * rows.columns[self._headline.column]
        worst = 1.0 if self._sign > 0 else 0.0
        return int((values[np.isfinite(values)] != worst).sum())

    def _further(self, want: Want) -> Rows | None:
        cell = self._wanted(want)
        return None if cell.refused else self._bench.rows(cell)

    def _wanted(self, want: Want) -> Cell:
        from dataclasses import replace

        base = self._cell
        spec = PluginSpec.parse(want.attack) if want.attack is not None else base.attack
        if want.options:
            spec = PluginSpec(name=spec.name, options={**spec.options, **dict(want.options)})
        spec = self._catalog.canonical("attack", spec)
        attack = self._catalog.attack(spec)
        asks = attack.grant.access not in ("none", "data", "weights") and not attack.transfers_from
        return replace(
            base,
            attack=spec,
            budget=base.budget if want.budget is None else want.budget,
            knowledge=(want.knowledge or base.knowledge) if asks else "adaptive",
            refused=refusal(self._catalog, base.victim, spec, base.defense),
            counter="",
            source=None,
        )


def _shared(first: Rows, second: Rows) -> tuple[Rows, Rows]:
    """Both cut to the examples that they share, in the first one's order."""
    place = {name: number for number, name in enumerate(second.texts["example"])}
    mine = [number for number, name in enumerate(first.texts["example"]) if name in place]
    theirs = [place[first.texts["example"][number]] for number in mine]
    return first.at(mine), second.at(theirs)
