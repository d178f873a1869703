"""One benchmark: what is kept of it, whatever becomes of it."""

from pathlib import Path

import pytest

from benchmarks.catalog import Benchmark
from benchmarks.child import ABSENT, FAILED, MEASURED, measured
from benchmarks.store import kept


def test_figures_are_kept_with_machine_and_date(made_up: dict[str, Benchmark], results: Path) -> None:
    """What comes back from the file is what was measured, and where and when."""
    assert measured(made_up["works"], results, quick=False) == MEASURED
    record = kept(results, "works")
    assert record.measured is not None
    assert record.measured.claims[0].figure.high == 2.0
    assert record.machine is not None
    assert record.machine.cores >= 1
    assert "torch" in record.machine.versions
    assert record.date.endswith("UTC")
    assert not record.quick


@pytest.mark.parametrize(
    ("became", "code", "said"), [("fails", FAILED, "disk"), ("lacks", ABSENT, "telescope")]
)
def test_earlier_figures_survive(
    became: str, code: int, said: str, made_up: dict[str, Benchmark], results: Path
) -> None:
    """A benchmark that fails, or is not possible here, keeps the figures that it had and says why there are no new."""
    measured(made_up["works"], results, quick=False)
    before = kept(results, "works")
    target = made_up[became].target
    same_name = Benchmark("works", "Part works", "What works tells.", target, 1)
    assert measured(same_name, results, quick=False) == code
    after = kept(results, "works")
    assert after.measured == before.measured
    assert said in after.failed + after.absent


def test_new_figures_end_the_trouble(made_up: dict[str, Benchmark], results: Path) -> None:
    """After a success nothing is said of an earlier failure."""
    measured(Benchmark("works", "", "", made_up["fails"].target, 1), results, quick=False)
    assert kept(results, "works").failed
    measured(made_up["works"], results, quick=True)
    assert (kept(results, "works").failed, kept(results, "works").quick) == ("", True)


def test_a_damaged_file_is_named(results: Path) -> None:
    """What cannot be read counts as not measured, with the reason."""
    results.mkdir()
    (results / "works.json").write_text("{")
    assert "works.json cannot be read" in kept(results, "works").failed
