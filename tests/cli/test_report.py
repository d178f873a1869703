"""`robeval report` on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from robeval.cli.report import command
from robeval.errors import UsageError
from tests.report.synthetic_run import write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every state that a cell can be in."""
    return write_run(tmp_path_factory.mktemp("runs") / "demo", seeds=1)


def _called(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)


def test_the_terminal_is_the_default_format(run_folder: Path) -> None:
    """A bare run prints the matrix and exits 0."""
    result = _called(run_folder, "--width", "80")
    assert result.exit_code == 0
    assert "ade [m]" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize(("name", "start"), [("markdown", "# robeval"), ("json", "{"), ("csv", "id,domain")])
def test_the_other_formats_print_documents(run_folder: Path, name: str, start: str) -> None:
    """Standard output holds the document and nothing else."""
    assert _called(run_folder, "--format", name).stdout.startswith(start)


def test_a_report_can_be_written_to_a_file(run_folder: Path, tmp_path: Path) -> None:
    """-o writes the document, says so on stderr, and keeps stdout clean."""
    target = tmp_path / "deep" / "summary.json"
    result = _called(run_folder, "-f", "json", "-o", target)
    assert json.loads(target.read_text())["schema"] == 1
    assert result.stdout == ""
    assert f"wrote {target}" in result.stderr


def test_a_terminal_report_in_a_file_has_no_colour(run_folder: Path, tmp_path: Path) -> None:
    """The file is plain text, without escape sequences and trailing blanks."""
    target = tmp_path / "report.txt"
    _called(run_folder, "-o", target, "--width", "100")
    text = target.read_text()
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_metrics_are_chosen_by_name(run_folder: Path) -> None:
    """Each --metric adds a matrix; the headline is no longer implied."""
    text = _called(run_folder, "--metric", "success", "--metric", "ade_ratio").output
    assert "success [%]" in text
    assert "ade_ratio [×]" in text
    assert "ade [m]" not in text


def test_an_unknown_run_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell turns it into exit code 2."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no run 'nowhere'"):
        _called("nowhere")


def test_an_unwritable_file_is_a_usage_error(run_folder: Path, tmp_path: Path) -> None:
    """The path and the reason are named, without a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        _called(run_folder, "-f", "csv", "-o", tmp_path / "file" / "below.csv")


def test_pictures_are_drawn_on_request(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--pictures hands folder and format on, and says how many were written."""
    asked: list[tuple[Path, Path, str]] = []

    def write_pictures(folder: Path, out: Path, format: str) -> list[Path]:
        asked.append((folder, out, format))
        return [out / "one.svg"]

    monkeypatch.setattr("robeval.report.pictures.write_pictures", write_pictures)
    result = _called(run_folder, "--pictures", tmp_path / "art", "--picture-format", "svg")
    assert asked == [(run_folder, tmp_path / "art", "svg")]
    assert "wrote 1 pictures" in result.stderr
