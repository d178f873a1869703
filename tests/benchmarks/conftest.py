"""Benchmarks that take no time, and a folder for what they find."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.catalog import Benchmark
from benchmarks.frame import Claim, Figure, Measured, NotHere


@pytest.fixture
def made_up() -> Iterator[dict[str, Benchmark]]:
    """One benchmark that measures, one that fails, one whose needs are not met."""
    module = ModuleType("benchmarks_of_a_test")

    def works(quick: bool) -> Measured:
        figure = Figure(value=1.5, unit="s", low=1.0, high=2.0, rounds=3)
        claim = Claim(what="the wait", figure=figure, at_most=1.0 if quick else 2.0)
        return Measured(
            columns=("what", "seconds"), rows=(("a | b", figure),), claims=(claim,), notes=("Mind it.",)
        )

    def fails(quick: bool) -> Measured:
        raise RuntimeError(f"{Path(__file__).parents[2]}/some/file: the disk is full")

    def lacks(quick: bool) -> Measured:
        raise NotHere("needs a telescope")

    for function in (works, fails, lacks):
        setattr(module, function.__name__, function)
    sys.modules[module.__name__] = module
    yield {
        name: Benchmark(name, f"Part {name}", f"What {name} tells.", f"{module.__name__}:{name}", 1)
        for name in ("works", "fails", "lacks")
    }
    del sys.modules[module.__name__]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Where results are kept."""
    return tmp_path / "results"
