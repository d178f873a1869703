"""The command: its list, its mistakes, and failures that stay alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import DONE, USAGE, main
from benchmarks.catalog import BENCHMARKS, Benchmark
from benchmarks.child import FAILED, MEASURED
from benchmarks.parent import measure_all
from benchmarks.store import keep, kept

ROOT = Path(__file__).parents[2]


def test_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, in the order of RESULTS.md."""
    assert main(["--list"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [benchmark.name for benchmark in BENCHMARKS]


def test_names_are_unique_and_targets_exist() -> None:
    """No two benchmarks share a file, and each one's function is where the table says."""
    assert len({benchmark.name for benchmark in BENCHMARKS}) == len(BENCHMARKS)
    for benchmark in BENCHMARKS:
        module, _, function = benchmark.target.partition(":")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert f"def {function}(quick: bool) -> Measured:" in source


def test_an_unknown_name_answers_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake measures nothing, and exits 2."""
    assert main(["serach"]) == USAGE
    assert "no benchmark 'serach'. Did you mean 'search'?" in capsys.readouterr().err


def test_an_unknown_option_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere in robeval."""
    assert main(["--fast"]) == USAGE
    assert "--help" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    """Asking for the list loads nothing heavy."""
    code = (
        "import sys; from benchmarks.__main__ import main; main(['--list']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


def test_render_writes_the_page_from_what_is_kept(
    made_up: dict[str, Benchmark], tmp_path: Path, results: Path
) -> None:
    """Without measuring anything."""
    assert main(["--render", "--to", str(tmp_path)]) == DONE
    assert "Nothing has been measured yet." in (tmp_path / "RESULTS.md").read_text()


def test_a_failing_benchmark_leaves_the_rest(made_up: dict[str, Benchmark], results: Path) -> None:
    """A process that dies is reported; what comes after it is measured, each in a process of its own."""
    keep(results, kept(results, "fails").model_copy(update={"date": "earlier"}))
    said: list[str] = []
    small = next(benchmark for benchmark in BENCHMARKS if benchmark.name == "plan")
    found = measure_all([made_up["fails"], small], results, said.append, quick=True)
    assert found == {"fails": FAILED, "plan": MEASURED}
    assert kept(results, "fails").failed
    assert kept(results, "fails").date == "earlier"
    assert kept(results, "plan").measured is not None
    assert [line[:5] for line in said if line.startswith("[")] == ["[1/2]", "[2/2]"]


def test_a_benchmark_that_hangs_is_stopped(results: Path) -> None:
    """Its time is limited, and the limit is the reason that is kept."""
    small = next(benchmark for benchmark in BENCHMARKS if benchmark.name == "growth")
    assert measure_all([small], results, lambda _: None, quick=False, limit_s=1.0) == {"growth": FAILED}
    assert kept(results, "growth").failed == "stopped after 1 s"
