"""What an attack's passes would have cost alone: the yardstick of its overhead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from robeval.arrays import Batch
from robeval.plugins.contracts import Domain
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View

REPEATS = 3
LONG_S = 0.5
"""Work that takes this long is timed once: what disturbs a clock is short beside it."""
MOST_ROWS = 4096


def bare_seconds(
    victim: nn.Module, domain: Domain[Any], view: View[Any], batch: Batch, pace: dict[str, float]
) -> float:
    """Seconds that the passes which `view` counted take without an attack, at its usual rows a call, by `clock_of`.

    Zero when nothing was asked, when gradients were taken by something that is no field of the batch (then nobody but
    the attack knows what a backward pass is), and when the attack works on something that it learnt before.
    """
    known = bool(view.moved) and view.moved <= set(batch.tensors())
    if not view.calls or (view.backward_rows and not known) or view.prepared is not None:
        return 0.0
    rows = min(max(round(view.forward_rows / view.calls), 1), MOST_ROWS)
    times = -(-rows // len(batch))
    given = batch.repeat(times).select(slice(0, rows)) if times > 1 or rows < len(batch) else batch
    if "forward" not in pace:
        pace["forward"] = fastest(lambda: forward(victim, given), batch.device) / len(given)
    if view.backward_rows and "both" not in pace:
        with under_attack(victim):
            pace["both"] = fastest(lambda: both(victim, domain, given, view.moved), batch.device) / len(given)
    backward = min(view.backward_rows, view.forward_rows)
    return backward * pace.get("both", 0.0) + (view.forward_rows - backward) * pace["forward"]


def clock_of(device: torch.device) -> Callable[[], float]:
    """The clock that overheads are measured with: seconds of a CPU that worked, so that a busy machine tells the same.

    On other devices seconds that went by, everything asked of the device done.
    """
    if device.type == "cpu":
        return time.process_time
    return _after_all if device.type == "cuda" else time.perf_counter


class Took(NamedTuple):
    """How long something took by the wall, and by the clock that overheads are measured with."""

    seconds: float
    busy_s: float

    @property
    def stretch(self) -> float:
        """Wall seconds for each busy one: 1 on an idle machine."""
        return self.seconds / self.busy_s if self.busy_s > 0 else 1.0


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self, device: torch.device) -> None:
        self._clock = clock_of(device)
        self._started, self._busy = time.perf_counter(), self._clock()

    def stop(self) -> Took:
        """What has passed."""
        busy = self._clock() - self._busy
        return Took(time.perf_counter() - self._started, busy)


def _after_all() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def fastest(work: Callable[[], None], device: torch.device) -> float:
    """Seconds of the fastest of a few tries: the machine's other work only ever slows one down."""
    clock = clock_of(device)
    found: list[float] = []
    while len(found) < REPEATS and sum(found) < LONG_S:
        started = clock()
        work()
        found.append(clock() - started)
    return min(found)


def forward(victim: nn.Module, batch: Batch) -> None:
    """One pass without a graph."""
    with torch.no_grad():
        victim(batch)


def both(victim: nn.Module, domain: Domain[Any], batch: Batch, fields: set[str]) -> None:
    """One pass forward and back to the named fields."""
    live = {name: batch.tensors()[name].detach().clone().requires_grad_() for name in sorted(fields)}
    answer = domain.answer(victim(batch.replace(**live)))
    if answer.requires_grad:
        torch.autograd.grad(answer.sum(), list(live.values()), allow_unused=True)
