"""A cell on several devices: Lightning starts a process for each, and each attacks its share of the chunks.

A process makes the cell's stage itself from the experiment's document, and writes its chunks into the run folder as any
worker does; so what is finished survives a kill, and no chunk is written twice. Chunks are dealt out one by one without
padding. Draws are per example, so figures are those of one device.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.utils.data import DataLoader

from robeval.arrays import Batch
from robeval.engine.blame import reason
from robeval.engine.helper_process import belong_to_the_main_process
from robeval.engine.memory import Portions, guarded_memory
from robeval.engine.modules import EvaluationModule
from robeval.engine.quiet import hush_lightning, quiet_lightning
from robeval.engine.train import SMALL
from robeval.errors import RobevalError, UsageError
from robeval.results.store import Rows

if TYPE_CHECKING:
    from robeval.engine.executors.worker import Job
    from robeval.engine.experiment import Execution
    from robeval.engine.plan import Cell

FIRST_WRITER = 1000
"""Journals of these processes are numbered from here, beyond those of the executors' workers."""
PRELOADED = ["robeval.engine.devices", "robeval.engine.evaluate", "robeval.plugins.discovery"]
SECONDS = "seconds_on_device_"
_OURS = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "GROUP_RANK", "RANK")


@dataclass(frozen=True)
class Shares:
    """What every process needs to know; plain values, so that it travels."""

    job: Job
    cell: Cell
    key: str
    chunks: tuple[int, ...]
    """Numbers of the chunks that are still to do."""
    size: int


class DeviceModule(pl.LightningModule):
    """One device's share of a cell. Made in the main process, filled in the device's own."""

    def __init__(self, shares: Shares) -> None:
        super().__init__()
        self.shares = shares
        self.inner: EvaluationModule | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        belong_to_the_main_process()  # the first that happens in a new process
        hush_lightning()
        super().__setstate__(state)  # type: ignore[no-untyped-call]

    def setup(self, stage: str) -> None:
        """The stage of the cell, made as one process alone would make it."""
        with explained():
            self._fill()

    def _fill(self) -> None:
        from robeval.engine.executors.worker import Worker

        shares, rank = self.shares, self.trainer.global_rank
        evaluator = Worker(replace(shares.job, number=FIRST_WRITER + rank)).evaluator
        execution = evaluator.experiment.execution
        made = evaluator.stages.stage(shares.cell)
        self.examples = evaluator.stages.examples(shares.cell)

        def keep(number: int, rows: Rows) -> None:
            spent = {f"{SECONDS}{rank}": rows.observed.get("seconds", 0.0)}
            rows = replace(rows, observed={**rows.observed, **spent})
            evaluator.folder.keep_chunk(shares.cell.id, shares.key, number, rows)

        portions = Portions(shares.size, execution.most_bytes)
        self.inner = EvaluationModule(made, keep, lambda passes: None, portions)
        self._guard = guarded_memory(execution.most_bytes)
        if sum(parameter.numel() for parameter in made.judged.parameters()) < SMALL:
            torch.set_num_threads(1)

    def test_dataloader(self) -> DataLoader[Any]:
        """Every n-th of the chunks."""
        mine = self.shares.chunks[self.trainer.global_rank :: self.trainer.world_size]
        return chunk_loader(self.examples, mine, self.shares.size)

    def on_test_start(self) -> None:
        """From here on memory is guarded, and a process that waits for a dead one can be ended."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._guard.__enter__()

    def on_test_end(self) -> None:
        """The guard goes."""
        self._guard.__exit__(None, None, None)

    def test_step(self, numbered: tuple[int, Batch], index: int) -> None:
        """Attack, check, score and keep one chunk of examples."""
        assert self.inner is not None
        with explained():
            self.inner.test_step(numbered, index)

    def configure_optimizers(self) -> None:
        """Nothing is optimised."""


class DeviceFailed(RobevalError):
    """What went wrong in a device's process, in one line."""


@contextmanager
def explained() -> Iterator[None]:
    """Any error as one line with its place: between processes only text travels."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise DeviceFailed(reason(error)) from error


def chunk_loader(examples: Batch, numbers: Sequence[int], size: int) -> DataLoader[Any]:
    """The numbered chunks of `size` examples each; the last one of all may be smaller."""

    def chunk(number: int) -> tuple[int, Batch]:
        return number, examples.select(slice(number * size, (number + 1) * size))

    return DataLoader(list(numbers), batch_size=None, collate_fn=chunk)  # type: ignore[arg-type]


def device_count(execution: Execution) -> int:
    """How many devices a cell spans."""
    if execution.devices != "auto":
        return int(execution.devices)
    on_gpu = execution.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.cuda.device_count() if on_gpu else 1


def check_devices(execution: Execution) -> int:
    """The number of devices. Raises UsageError for what is no number, or for two ways of spreading at once."""
    try:
        count = device_count(execution)
    except ValueError:
        count = 0
    if count < 1:
        raise UsageError(f"--devices {execution.devices}: give a number of devices, or auto for all GPUs")
    if count > 1 and execution.executor != "local":
        raise UsageError(
            f"--devices {count} spreads a cell over devices, --executor {execution.executor} spreads cells over "
            "workers: choose one of them"
        )
    return count


def spread(shares: Shares, arguments: dict[str, Any], devices: int) -> None:
    """Let the devices do their shares, no more of them than chunks; on return every chunk is in the run folder.

    Raises RobevalError when a process fails or dies, after which none is left.
    """
    strategy = DDPStrategy(**_how(arguments["accelerator"]))
    with quiet_lightning(), own_environment():
        trainer = pl.Trainer(
            inference_mode=False,
            **{
                **arguments,
                "devices": min(devices, len(shares.chunks)),
                "strategy": strategy,
                "use_distributed_sampler": False,
            },
        )
        try:
            trainer.test(DeviceModule(shares), verbose=False)
        except ProcessRaisedException as error:
            raise RobevalError(f"on device {error.error_index}: {_told(str(error))}") from None
        except ProcessExitedException as error:
            signal_name = error.signal_name
            how = f"killed by {signal_name}" if signal_name else f"ended with exit code {error.exit_code}"
            hint = "; out of memory?" if signal_name == "SIGKILL" else ""
            raise RobevalError(f"the process of device {error.error_index} was {how}{hint}") from None
        finally:
            _end(getattr(strategy.launcher, "procs", ()))


def _how(accelerator: str) -> dict[str, Any]:
    """Where CUDA may be in use already, new processes; else forks of one that has imported what all of them need."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return {"start_method": "spawn"}
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return {"start_method": "spawn", "process_group_backend": "gloo"}
    multiprocessing.set_forkserver_preload(PRELOADED)
    return {"start_method": "forkserver", "process_group_backend": "gloo"}


def _end(processes: Sequence[Any]) -> None:
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()


def _told(trace: str) -> str:
    """What a process raised, from the traceback that came back."""
    _, found, message = trace.rpartition(f"{DeviceFailed.__module__}.{DeviceFailed.__qualname__}: ")
    lines = [line for line in (message if found else trace).splitlines() if line.strip()]
    return "\n".join(lines) if found else lines[-1]


@contextmanager
def own_environment() -> Iterator[None]:
    """Lightning leaves ports and ranks in the environment; everything as before afterwards."""
    before = {name: os.environ.get(name) for name in _OURS}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def device_seconds(rows: Rows) -> Rows:
    """The same rows, their `seconds` those of the busiest device; all devices together are `device_seconds`."""
    by_device = {name: value for name, value in rows.observed.items() if name.startswith(SECONDS)}
    if not by_device:
        return rows
    rest = {name: value for name, value in rows.observed.items() if name not in by_device}
    total = rest.get("seconds", 0.0)
    alone = max(total - sum(by_device.values()), 0.0)
    wall = alone + max(by_device.values())
    return replace(rows, observed=rest | {"seconds": wall, "device_seconds": total})


def job_of(evaluator: Any, devices: int) -> Job:
    """The evaluator's experiment, folder and cache, for a process that does one device's share."""
    from robeval.engine.executors.worker import Job

    execution = evaluator.experiment.execution.model_copy(update={"devices": 1, "executor": "local"})
    experiment = evaluator.experiment.model_copy(update={"execution": execution})
    return Job(
        experiment=experiment.model_dump(mode="json"),
        folder=str(evaluator.folder.path.resolve()),
        cache=str(evaluator.cache.folder.resolve()),
        since=evaluator.began if evaluator.cache.fresh else 0.0,
        threads=max(1, (os.cpu_count() or 1) // devices),
        number=0,
        paths=tuple(os.path.abspath(path) for path in sys.path),
    )
