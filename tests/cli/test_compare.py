"""`robeval compare` on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.report.synthetic_run import write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two runs of the same content."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("main", "mine"):
        write_run(folder / "runs" / name, seeds=1)
    return folder


@pytest.fixture
def compare(
    robeval: Callable[..., Outcome], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`robeval compare main mine`, with more words."""
    monkeypatch.chdir(runs)
    return lambda *words: robeval("compare", *words)


def test_two_runs_are_compared_by_name(compare: Callable[..., Outcome]) -> None:
    """Names under ./runs are enough; the exit code is 0."""
    done = compare("main", "mine")
    assert done.code == 0
    assert done.out.startswith("robeval compare · main → mine")
    assert "the same in every example" in done.out


@pytest.mark.parametrize(("name", "start"), [("markdown", "# robeval compare"), ("json", "{")])
def test_the_other_formats_print_documents(compare: Callable[..., Outcome], name: str, start: str) -> None:
    """Standard output holds the document and nothing else."""
    assert compare("main", "mine", "--format", name).out.startswith(start)


@pytest.mark.parametrize("name", ["terminal", "json"])
def test_a_comparison_can_be_written_to_a_file(
    compare: Callable[..., Outcome], tmp_path: Path, name: str
) -> None:
    """-o writes the document without colour and keeps stdout clean."""
    target = tmp_path / "deep" / "file"
    done = compare("main", "mine", "-f", name, "-o", target)
    assert (done.code, done.out) == (0, "")
    assert f"wrote {target}" in done.err
    assert "\x1b" not in target.read_text()


def test_metrics_and_alpha_reach_the_comparison(compare: Callable[..., Outcome]) -> None:
    """Both stand in the document."""
    content = json.loads(compare("main", "mine", "--metric", "success", "--alpha", "0.01", "-f", "json").out)
    assert [metric["name"] for metric in content["metrics"]] == ["success"]
    assert content["alpha"] == 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("main", "mime"), "no run 'mime'. Did you mean 'mine'"),
        (("main",), "Missing argument 'RUN_B'"),
        (("main", "mine", "--metric", "adee"), "no metric 'adee'. Did you mean 'ade'"),
        (("main", "mine", "--alpha", "0"), "--alpha"),
        (("main", "mine", "-f", "html"), "html"),
    ],
)
def test_mistakes_are_usage_errors(
    compare: Callable[..., Outcome], words: tuple[str, ...], message: str
) -> None:
    """Exit code 2, and the nearest names where there are any."""
    done = compare(*words)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""


def test_an_unwritable_file_is_a_usage_error(compare: Callable[..., Outcome], tmp_path: Path) -> None:
    """The path and the reason are named."""
    (tmp_path / "file").write_text("")
    done = compare("main", "mine", "-f", "json", "-o", tmp_path / "file" / "below")
    assert done.code == 2
    assert "cannot write" in done.err
