"""Workers on a Ray cluster, or on a Ray that is started on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from robeval.engine.executors.schedule import Lost, Pool
from robeval.engine.executors.worker import Answer, Job, Task, Worker
from robeval.errors import MissingExtra, UsageError

KNOCK_S = 10.0
LOCAL: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 128 * 2**20}
"""Of a Ray that is started here: what passes through it is tasks and records."""


@dataclass(eq=False)
class Handle:
    """An actor and the task that it has."""

    actor: Any
    pending: Any = field(default=None)


class RayActors(Pool[Handle]):
    """One Ray actor for each worker.

    Run folder and cache must be reachable from every node: at a URL, or under the same path (a shared file system).
    """

    def __init__(self, job: Job, address: str | None, workers: int) -> None:
        """Raises MissingExtra without Ray, UsageError when the address cannot be reached."""
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise MissingExtra("--executor ray", "ray", "ray") from None
        super().__init__()
        self.ray, self.job = ray, job
        self.handles: list[Handle] = []
        self.was_here = ray.is_initialized()
        if not self.was_here:
            _knock(address)
            local: dict[str, Any] = {} if address else LOCAL | {"num_cpus": workers}
            os.environ.setdefault(
                "RAY_USAGE_STATS_ENABLED", "0"
            )  # nothing is reported unless it is asked for
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
            except (ConnectionError, ValueError, RuntimeError) as error:
                hint = "If it asks for a token, as new ones do, set RAY_AUTH_MODE=token." if address else ""
                where = f"no Ray cluster at --address {address}" if address else "Ray cannot be started here"
                raise UsageError(f"{where}: {error}. {hint}".rstrip()) from None
        if address:
            # An actor that finds no free core would wait, with its cell, for those that hold one to the end.
            self.most = max(1, int(ray.available_resources().get("CPU", 0)))
            workers = min(workers, self.most)
        # Ray hides every GPU from an actor that asks for none.
        accelerator = job.experiment["execution"]["accelerator"]
        gpus = 0.0 if accelerator == "cpu" else ray.cluster_resources().get("GPU", 0.0)
        share = min(1.0, gpus / workers)
        self.kind = ray.remote(num_cpus=1, num_gpus=share, max_restarts=0, max_task_retries=0)(Worker)

    def start(self) -> Handle:
        """An actor with its own journal."""
        handle = Handle(self.kind.remote(replace(self.job, number=len(self.handles) + 1)))
        self.handles.append(handle)
        return handle

    def give(self, worker: Handle, task: Task) -> None:
        """Let the actor answer."""
        worker.pending = worker.actor.answer.remote(task)

    def wait(self, busy: Collection[Handle], patience_s: float) -> tuple[Handle, Answer | Lost] | None:
        """The first that answers or is lost."""
        by_pending = {handle.pending: handle for handle in busy}
        found, _ = self.ray.wait(list(by_pending), num_returns=1, timeout=patience_s)
        if not found:
            return None
        (ready,) = found
        handle = by_pending[ready]
        try:
            return handle, Answer(*self.ray.get(ready))
        except self.ray.exceptions.RayError as error:
            return handle, Lost(f"its Ray worker was lost: {_told(error)}")

    def close(self) -> None:
        """End the actors, and the Ray that was started here."""
        for handle in self.handles:
            self.ray.kill(handle.actor)
        if not self.was_here:
            self.ray.shutdown()


def _told(error: Exception) -> str:
    """Ray's first line; where a worker could not even begin, also the last, which holds the reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0]} ({lines[-1].strip()})" if "creation task" in lines[0] and len(lines) > 1 else lines[0]


def _knock(address: str | None) -> None:
    """Raises UsageError where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = (address or "").rpartition("//")[2].rpartition(":")
    if not (host and port.isdigit()):
        return  # none, "auto", or something that Ray itself must make sense of
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster at --address {address}: {error}. Start one with: ray start --head"
        ) from None
