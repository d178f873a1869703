"""How many examples are attacked together, so that a cell never dies of a batch too large.

A chunk of examples is worked off in portions. A portion that runs out of memory is tried again in halves; where one
example alone is too much, the rows that its attack makes of it (restarts, objectives) go through the victim in slices.
Under a limit the first portion is small, and what it took decides on the next. Draws are per example, so figures do not
depend on it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from robeval.arrays import Batch
from robeval.engine.sizes import in_words
from robeval.errors import RobevalError, UsageError
from robeval.results.store import Rows

PROBE = 4
"""Examples in the first portion under a limit."""
GROWTH = 4
"""A portion is at most this many times as large as the largest that is known to fit."""
SHARE = 0.8
"""Of the room that is left; what a portion takes is not quite proportional to its size."""
SLACK = 64 * 2**20
"""Room for everything that is not the portion: threads, the allocator's own, libraries loaded late."""
_SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "Unable to allocate")

_MMAP_THRESHOLD = -3
ROWS = (256, 64, 16, 4, 1)
"""Sizes of slices to try where one example is too much."""

Work = Callable[[Batch, int], Rows]
Narrow = Callable[[int], AbstractContextManager[None]]
"""Inside, a victim is asked about that many rows at a time."""


class OutOfMemory(RobevalError):
    """One example alone does not fit."""


class Gauge(ABC):
    """What is held now, and the most that was held since the gauge was reset, in bytes."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the peak."""

    @abstractmethod
    def held(self) -> int:
        """Bytes held now."""

    @abstractmethod
    def peak(self) -> int:
        """The most bytes held since the reset."""


class Resident(Gauge):
    """The process's resident memory. Outside Linux the peak cannot be reset, so only growth beyond it is seen."""

    def __init__(self) -> None:
        self._resets = sys.platform == "linux"

    def reset(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._resets = False

    def held(self) -> int:
        return process_bytes("VmRSS") or self._most()

    def peak(self) -> int:
        return process_bytes("VmHWM") if self._resets else self._most()

    def _most(self) -> int:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Allocated(Gauge):
    """What torch has allocated on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.device)

    def held(self) -> int:
        return int(torch.cuda.memory_allocated(self.device))

    def peak(self) -> int:
        return int(torch.cuda.max_memory_allocated(self.device))


def gauge_of(device: torch.device) -> Gauge:
    """The gauge of a device."""
    return Allocated(device) if device.type == "cuda" else Resident()


def process_bytes(name: str) -> int:
    """A field of this process's status on Linux (VmRSS, VmHWM, VmData); 0 elsewhere."""
    return _kibibytes(Path("/proc/self/status"), name)


def available_bytes() -> int:
    """What the machine, or this process's control group, has left on Linux; 0 elsewhere."""
    free = _kibibytes(Path("/proc/meminfo"), "MemAvailable")
    group = Path("/sys/fs/cgroup")
    try:
        most, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return free if most == "max" else min(free, max(int(most) - int(used), 0))


def _kibibytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


class Portions:
    """The sizes that fit, for one cell."""

    def __init__(self, most: int, limit: int | None = None, gauge: Gauge | None = None) -> None:
        """At most `most` examples together, and `limit` bytes; the `gauge` is the device's unless given."""
        self.most, self.limit = most, limit
        self._asked, self._said = most, ""
        self.rows: int | None = None
        self.size = most if limit is None else min(PROBE, most)
        self._gauge = gauge

    def work(
        self,
        batch: Batch,
        rows_of: Work,
        release: Callable[[], None] = lambda: None,
        narrow: Narrow | None = None,
    ) -> Iterator[Rows]:
        """Every portion's rows in order; `rows_of(portion, offset)` makes them, `release` frees what can be made anew.

        Raises OutOfMemory when a portion of one example does not fit, `narrow` slices included.
        """
        done = 0
        while done < len(batch):
            portion = batch.select(slice(done, done + self.size))
            with narrow(self.rows) if narrow and self.rows else nullcontext():
                rows = self._tried(portion, rows_of, done)
            if rows is None:
                release()
                self._shrink(len(portion), can_narrow=narrow is not None)
                give_back(for_slices=self.rows is not None)
                continue
            is_split = self.most < min(self._asked, len(batch)) or self.rows
            yield _noted(rows, "split_for_memory") if is_split else rows
            done += len(portion)

    def _shrink(self, count: int, *, can_narrow: bool) -> None:
        if count > 1:
            self.most = self.size = count // 2
            return
        left = [rows for rows in ROWS if self.rows is None or rows < self.rows] if can_narrow else []
        if not left:
            raise OutOfMemory(self._hopeless())
        self.rows = left[0]

    def _tried(self, portion: Batch, rows_of: Work, offset: int) -> Rows | None:
        """The rows; None where the memory does not suffice, all of which is free again after the return."""
        gauge = self._gauge or gauge_of(portion.device)
        if self.limit is not None:
            gauge.reset()
        held = gauge.held() if self.limit is not None else 0
        try:
            rows = rows_of(portion, offset)
        except (RuntimeError, MemoryError, RobevalError) as error:
            if not is_out_of_memory(error):
                raise
            self._said = " ".join(str(error).split())[:200]
            return None
        if self.limit is None:
            return rows
        peak = gauge.peak()
        self._learn(len(portion), held, peak, gauge.held(), self.limit)
        return _noted(rows, "over_max_memory") if peak > self.limit else rows

    def _learn(self, count: int, held: int, peak: int, now: int, limit: int) -> None:
        each = max(peak - held, 0) / count
        room = SHARE * (limit - now)
        fits = int(room / each) if each else count * GROWTH
        self.size = max(1, min(fits, count * GROWTH, self.most))

    def _hopeless(self) -> str:
        limit = f" within --max-memory {in_words(self.limit)}" if self.limit else ""
        return (
            f"out of memory{limit} with one example at a time: {self._said}. "
            "Give the attack fewer restarts, objectives or particles, or raise --max-memory, "
            "or use a machine with more."
        )


def _noted(rows: Rows, name: str) -> Rows:
    return replace(rows, observed={**rows.observed, name: float(len(rows))})


def give_back(*, for_slices: bool) -> None:
    """Free memory returns to the device and to the system.

    glibc keeps freed blocks of up to 32 MiB, and small ones settle in them: slice after slice takes fresh memory.
    `for_slices` has it map and unmap such blocks from now on, which is slower and is for those who are short of memory.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        if for_slices:
            libc.mallopt(_MMAP_THRESHOLD, 2**18)
        libc.malloc_trim(0)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that memory ran out on the CPU or the accelerator."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_limit(limit: int | None) -> None:
    """Raises UsageError for a limit that the process has used up before the first cell."""
    if limit is None:
        return
    try:
        held = Resident().held()
    except ImportError:
        raise UsageError("--max-memory cannot be measured on this system; use --batch-size") from None
    if held >= limit and not torch.cuda.is_available():
        raise UsageError(
            f"--max-memory {in_words(limit)}: the process holds {in_words(held)} before the first cell; "
            f"give at least {in_words(2 * held)}"
        )


@contextmanager
def guarded_memory(limit: int | None) -> Iterator[None]:
    """On Linux, allocations beyond the limit (or beyond what the machine has left) fail instead of killing the process.

    A failed allocation is an error that `Portions` answers; the kernel's out-of-memory killer leaves nothing to answer.
    """
    held, data = process_bytes("VmRSS"), process_bytes("VmData")
    free = available_bytes()
    if not data or not free or torch.cuda.is_available():
        # Elsewhere there is no such limit; CUDA maps far more than it uses.
        yield
        return
    import resource

    room = free if limit is None else min(free, limit - held)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data + max(room, SLACK)
    for bound in (soft, hard):
        wanted = wanted if bound == resource.RLIM_INFINITY else min(wanted, bound)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
