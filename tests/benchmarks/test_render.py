"""RESULTS.md from what is kept."""

from pathlib import Path

import pytest

from benchmarks.catalog import BENCHMARKS, Benchmark
from benchmarks.child import measured
from benchmarks.render import anchor, render
from benchmarks.store import keep, kept


def test_every_outcome_has_its_section(made_up: dict[str, Benchmark], results: Path) -> None:
    """Measured, failed, not possible here: each is said, and the claims stand together at the top."""
    for benchmark in made_up.values():
        measured(benchmark, results, quick=False)
    page = render(list(made_up.values()), results)
    assert "| [the wait](#part-works) | 1.5 s (1 to 2) | ≤ 2 s | yes |" in page
    assert "| what | seconds |\n| --- | --- |\n| a \\| b | 1.5 s (1 to 2) |\n\nMind it.\n" in page
    assert "The last attempt failed: RuntimeError: some/file: the disk is full." in page
    assert "Not run here: needs a telescope." in page
    assert page.index("At a glance") < page.index("## Part works") < page.index("## Part fails")


def test_a_claim_that_does_not_hold_is_shown(made_up: dict[str, Benchmark], results: Path) -> None:
    """An aim that is missed is not hidden; a quick figure decides nothing."""
    measured(made_up["works"], results, quick=True)
    page = render([made_up["works"]], results)
    assert "| ≤ 1 s | (quick) |" in page
    assert ", quick" in page
    keep(results, kept(results, "works").model_copy(update={"quick": False}))
    assert "| ≤ 1 s | **no** |" in render([made_up["works"]], results)


def test_figures_of_another_machine_say_so(made_up: dict[str, Benchmark], results: Path) -> None:
    """The head names one machine; a section from another one names its own."""
    measured(made_up["works"], results, quick=False)
    record = kept(results, "works")
    assert record.machine is not None
    other = record.machine.model_copy(update={"processor": "abacus"})
    old = record.model_copy(update={"name": "fails", "machine": other, "date": "2001-01-01 00:00 UTC"})
    keep(results, old)
    page = render([made_up["works"], made_up["fails"]], results)
    assert page.count("abacus") == 1
    assert page.index("abacus") > page.index("## Part fails")


def test_nothing_measured_is_no_error(results: Path) -> None:
    """Every benchmark has a section with its command before anything was measured."""
    page = render(BENCHMARKS, results)
    assert page.count("Not measured yet.") == len(BENCHMARKS)
    for benchmark in BENCHMARKS:
        assert f"`python -m benchmarks {benchmark.name}`" in page


@pytest.mark.parametrize(
    ("title", "fragment"), [("Planning 10 000 cells", "planning-10-000-cells"), ("Run: a, b", "run-a-b")]
)
def test_links_lead_to_their_section(title: str, fragment: str) -> None:
    """Headings become fragments as Markdown viewers make them."""
    assert anchor(title) == fragment
