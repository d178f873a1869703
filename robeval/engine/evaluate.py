"""One cell from its plan to its record: from the run folder, from the cache, or computed now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors.numpy import save

from robeval.arrays import Batch
from robeval.engine.cache import Cache, content_key
from robeval.engine.catalog import Catalog
from robeval.engine.columns import filled, settled
from robeval.engine.derived import ReadOff, worst_record, worst_rows
from robeval.engine.devices import Shares, chunk_loader, device_count, device_seconds, job_of, spread
from robeval.engine.experiment import Experiment
from robeval.engine.figures import blank_record, finished_record
from robeval.engine.memory import Portions, guarded_memory
from robeval.engine.modules import EvaluationModule
from robeval.engine.plan import CERTIFICATE, Cell, fits_of, surrogate_fit, victim_fit
from robeval.engine.precision import trainer_arguments
from robeval.engine.progress import Watcher
from robeval.engine.quiet import quiet_lightning
from robeval.engine.sources import module_digest, source_digest
from robeval.engine.stage import Stage
from robeval.engine.stages import Stages
from robeval.engine.train import Trainings, threads_for
from robeval.errors import RobevalError
from robeval.results.files import file_checksum
from robeval.results.records import CellRecord
from robeval.results.store import Rows, RunFolder

_HERE = Path(__file__).parent
ENGINE_FILES = (
    "modules.py",
    "stage.py",
    "attack_call.py",
    "columns.py",
    "victim_weights.py",
    "budget.py",
    "figures.py",
    "evaluate.py",
    "stages.py",
    "counters.py",
    "derived.py",
    "memory.py",
    "slices.py",
    "devices.py",
)


class Evaluator:
    """Executes cells one by one; trained victims, hardened victims and clean answers are shared between them."""

    def __init__(
        self, experiment: Experiment, catalog: Catalog, cache: Cache, folder: RunFolder, watcher: Watcher
    ) -> None:
        self.experiment, self.catalog, self.cache = experiment, catalog, cache
        self.folder, self.watcher = folder, watcher
        self.began = time.time()
        self.trainings = Trainings(catalog, cache, experiment.execution, watcher)
        self.stages = Stages(experiment, catalog, self.trainings, watcher)

    def share(self, other: Evaluator) -> None:
        """Use the trained and hardened victims of another evaluator."""
        self.trainings = other.trainings
        self.stages.share(other.stages)

    def execute(self, cell: Cell) -> tuple[CellRecord, bool]:
        """The cell's record, and whether it was there already."""
        if cell.refused:
            return self._refused(cell), True
        if cell.members:
            return self._worst(cell)
        key = self.key(cell)
        done = self.folder.finished(cell.id, key)
        if done is not None and not self.cache.fresh:
            return done, True
        with self.cache.lock("cell", key):
            entry = self.cache.find("cells", key)
            if entry is not None:
                return self._from_cache(cell, key, entry), True
            return self._computed(cell, key), False

    def key(self, cell: Cell) -> str:
        """The content address of a cell: everything that could change its figures."""
        if cell.members:
            return content_key("worst-of", {"members": [self.key(member) for member in cell.members]})
        is_attack = cell.attack != CERTIFICATE
        surrogate = surrogate_fit(cell, self.catalog)
        oblivious = cell.knowledge == "oblivious"
        undefended = victim_fit(cell, self.catalog, defended=False) if oblivious else None
        fit = victim_fit(cell, self.catalog)
        return content_key(
            "cell",
            {
                "attack": self.catalog.digest("attack", cell.attack) if is_attack else "certificate",
                "defense": self.catalog.digest("defense", cell.defense),
                "victim": self.trainings.key(fit),
                "attacked": [self.trainings.key(f) if f else None for f in (undefended, surrogate)],
                "data": self.catalog.digest("dataset", cell.dataset),
                "domain": source_digest(type(self.catalog.domain)),
                "engine": [
                    *(
                        module_digest(name)
                        for name in ("robeval.trust.checks", "robeval.statistics.intervals")
                    ),
                    *(file_checksum(_HERE / name) for name in ENGINE_FILES),
                ],
                "budget": cell.budget,
                "source": cell.source,
                "knowledge": cell.knowledge,
                "counter": cell.counter,
                "seed": cell.seed,
                "examples": self.experiment.max_examples,
                "precision": self.experiment.execution.precision,
                "hardware": [
                    self.experiment.execution.accelerator,
                    torch.cuda.is_available(),
                    torch.__version__,
                ],
            },
        )

    def _refused(self, cell: Cell) -> CellRecord:
        record = blank_record(cell, self.catalog, error=cell.refused)
        self.folder.keep_cell("n/a", record, {})
        return record

    def _from_cache(self, cell: Cell, key: str, entry: Path) -> CellRecord:
        record = CellRecord.model_validate_json((entry / "cell.json").read_bytes())
        # The same content may have been made under another spelling of the same options.
        record = record.model_copy(
            update={"id": cell.id, "attack": str(cell.attack), "defense": str(cell.defense)}
        )
        names = [path.name for path in entry.iterdir() if path.name.startswith("rows.")]
        self.folder.keep_cell(
            key, record, {name.split(".")[1]: (entry / name).read_bytes() for name in names}
        )
        return record

    def _worst(self, cell: Cell) -> tuple[CellRecord, bool]:
        """The worst of its members, which are done before it."""
        key = self.key(cell)
        done = self.folder.finished(cell.id, key)
        if done is not None and not self.cache.fresh:
            return done, True
        records = [self.folder.record(member.id, self.key(member)) for member in cell.members]
        kept = [
            (m, r) for m, r in zip(cell.members, records, strict=True) if r is not None and r.status == "done"
        ]
        if len(kept) < len(cell.members):
            lost = [
                str(m.attack)
                for m, r in zip(cell.members, records, strict=True)
                if r is None or r.status != "done"
            ]
            raise RobevalError(f"a worst-of row needs all its attacks, and {', '.join(lost)} did not finish")
        headline = self.catalog.domain.metrics[0]
        rows, winner = worst_rows(
            [self.folder.rows(member.id) for member in cell.members],
            headline.column,
            headline.direction == "lower",
            self.stages.examples(cell),
        )
        record = worst_record(cell, self.catalog, rows, winner, [r for _, r in kept])
        files = {"parquet": rows.to_parquet()}
        if rows.adversarial:
            files["safetensors"] = save(dict(rows.adversarial))
        self.folder.keep_cell(key, record, files)
        return record, False

    def _read_off(self, cell: Cell, stage: Stage) -> Stage:
        """The stage of a budget that is read off the cell at a larger one."""
        assert cell.source is not None
        assert stage.attack is not None
        larger = replace(cell, budget=cell.source, source=None)
        self.execute(larger)
        rows = self.folder.rows(larger.id)
        attack = ReadOff(
            stage.domain,
            stage.attack.grant,
            {name: number for number, name in enumerate(rows.texts["example"])},
            {name: torch.from_numpy(value) for name, value in rows.adversarial.items()},
        )
        return replace(stage, attack=attack)

    def _computed(self, cell: Cell, key: str) -> CellRecord:
        execution = self.experiment.execution
        devices = device_count(execution) if cell.source is None else 1
        stage = self._stage(cell) if devices == 1 else None
        examples = self.stages.examples(cell)
        size = min(execution.batch_size, -(-len(examples) // devices))
        count = -(-len(examples) // size)
        found: dict[int, Rows] = {}
        for number in range(count):
            known = self.folder.chunk(cell.id, key, number)
            expected = examples.ids[number * size : (number + 1) * size]
            if known is not None and tuple(known.texts["example"]) == expected and not self.cache.fresh:
                found[number] = known
        with self.watcher.task(str(cell)):
            self.watcher.advance(sum(map(len, found.values())), len(examples), "examples")

            def keep(number: int, rows: Rows) -> None:
                self.folder.keep_chunk(cell.id, key, number, rows)
                found[number] = rows
                self.watcher.advance(sum(map(len, found.values())), len(examples), "examples")

            pending = [number for number in range(count) if number not in found]
            if pending and stage is not None:
                self._test(stage, examples, pending, size, keep)
            elif pending:
                found |= self._spread(cell, key, examples, pending, size, devices)
        whole = Rows.join(filled([found[number] for number in range(count)], examples))
        rows = settled(self.catalog.domain, device_seconds(whole))
        is_bound = stage is None and cell.attack == CERTIFICATE
        judged = self.stages.judged(cell) if is_bound else stage and stage.judged
        record = finished_record(cell, self.catalog, rows, judged)
        files = {"parquet": rows.to_parquet()}
        if rows.adversarial:
            files["safetensors"] = save(dict(rows.adversarial))
        self.cache.put(
            "cells",
            key,
            {"cell.json": record.model_dump_json(by_alias=True).encode()}
            | {f"rows.{ending}": content for ending, content in files.items()},
        )
        self.folder.keep_cell(key, record, files)
        return record

    def _stage(self, cell: Cell) -> Stage:
        stage = self.stages.stage(cell)
        return stage if cell.source is None else self._read_off(cell, stage)

    def _spread(
        self, cell: Cell, key: str, examples: Batch, pending: list[int], size: int, devices: int
    ) -> dict[int, Rows]:
        """The pending chunks by several devices. Raises RobevalError when one of them fails or is lost."""
        for fit in fits_of(cell, self.catalog):
            self.trainings.victim(fit)  # here, once; the devices' processes find it in the cache
        shares = Shares(job_of(self, devices), cell, key, tuple(pending), size)
        spread(shares, trainer_arguments(self.experiment.execution), devices)
        self.folder.refresh()
        found = {}
        for number in pending:
            rows = self.folder.chunk(cell.id, key, number)
            if rows is None or tuple(rows.texts["example"]) != examples.ids[number * size :][:size]:
                raise RobevalError(f"a device lost chunk {number} of {cell}; run the same command again")
            found[number] = rows
        return found

    def _test(self, stage: Stage, examples: Batch, pending: list[int], size: int, keep: Any) -> None:
        """`Trainer.test` over the chunks that are still to do."""
        loader = chunk_loader(examples, pending, size)
        execution = self.experiment.execution
        limit = execution.most_bytes
        with (
            quiet_lightning(),
            cpu_afterwards(stage, execution.precision),
            threads_for(stage.judged),
            guarded_memory(limit),
        ):
            trainer = pl.Trainer(inference_mode=False, **trainer_arguments(execution))
            module = EvaluationModule(stage, keep, self.watcher.passes, Portions(size, limit))
            trainer.test(module, dataloaders=loader, verbose=False)


@contextmanager
def cpu_afterwards(stage: Stage, precision: str) -> Iterator[None]:
    """Victims that are shared between cells return to the CPU, and to single precision where Lightning changed it."""
    try:
        yield
    finally:
        for victim in (stage.judged, stage.attacked):
            victim.cpu()
            if precision in ("64", "64-true", "bf16-true", "16-true"):
                victim.float()
