"""A registry with the closed-form domain, and a way to run an experiment in a temporary folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robeval.engine.cache import Cache
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import Plan, make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import Outcome, run
from robeval.plugins.none import NoAttack, NoDefense
from robeval.plugins.registry import Registry
from robeval.testing.linear import register

Run = Callable[..., Outcome]


@pytest.fixture
def registry() -> Registry:
    """`none` on both sides and the linear domain."""
    made = Registry()
    made.attack("none", NoAttack)
    made.defense("none", NoDefense)
    register(made)
    return made


@pytest.fixture
def plan(registry: Registry) -> Callable[..., Plan]:
    """Plans an experiment of the linear domain from keyword arguments."""

    def planned(**fields: Any) -> Plan:
        return make_plan(
            build_experiment(**{"domain": "linear", "execution": {"accelerator": "cpu"}} | fields), registry
        )

    return planned


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def execute(plan: Callable[..., Plan], cache: Cache, tmp_path: Path) -> Run:
    """Runs an experiment and returns its outcome; `out` names the folder."""

    def executed(
        out: str = "run", watcher: Watcher | None = None, cache: Cache = cache, **fields: Any
    ) -> Outcome:
        return run(plan(**fields), tmp_path / out, cache, watcher or Watcher(), command="robeval run linear")

    return executed
