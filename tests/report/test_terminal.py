"""The terminal report: it fits, it reads without colour, and it says what must be said."""

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from robeval.errors import UsageError
from robeval.report.grid import pieces
from robeval.report.heat import STYLES
from robeval.report.matrix import Matrix, matrices
from robeval.report.numbers import number
from robeval.report.render import print_report, render
from robeval.report.summary import chosen_metrics, read_run
from robeval.report.terminal import lines
from tests.report.synthetic_run import COMMAND, DEFENSES


def _printed(folder: Path, **settings: object) -> str:
    stream = io.StringIO()
    options = {"width": 80, "_environ": {}, "legacy_windows": False, **settings}
    print_report(folder, Console(file=stream, **options))  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_it_fits_the_terminal(single_seed_run: Path, width: int) -> None:
    """No line is wider than the terminal, for every metric and group at once."""
    text = render(single_seed_run, "terminal", ["all"], width, by_group=True)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [44, 60, 80, 120, 160])
def test_every_figure_is_shown_whole(finished_run: Path, ade: Matrix, width: int) -> None:
    """Whatever the width, each value stands in the report in full, none of it cut or left out."""
    text = render(finished_run, "terminal", None, width)
    shown = text[: text.index("Threat models")]
    for entry in ade.entries.values():
        if entry.figure is not None:
            value = number(entry.figure.value, ade.metric)
            assert re.search(rf"(?<![\d.]){re.escape(value)}(?![\d.])", shown), value


def test_a_wider_terminal_shows_whole_intervals(finished_run: Path) -> None:
    """80 columns show the half width, 160 both ends."""
    assert "±" in render(finished_run, "terminal", None, 80)
    assert re.search(r"4\.06 \[3\.\d\d, 4\.\d\d\]", render(finished_run, "terminal", None, 160))


def test_columns_that_do_not_fit_continue_below(finished_run: Path) -> None:
    """At 60 columns every defense still has its column, in a second block with its own row names."""
    text = render(finished_run, "terminal", None, 60)
    matrix = text[: text.index("Threat models")]
    assert len(re.findall(r"^clean", matrix, re.MULTILINE)) == 2
    assert all(name.split("-")[0] in matrix for name in DEFENSES)


def test_no_colour_means_no_escape_sequences(finished_run: Path) -> None:
    """NO_COLOR and plain files get text, and the shades carry the heat map."""
    text = _printed(finished_run, _environ={"NO_COLOR": "1"})
    assert "\x1b" not in text
    assert "█ 5.72" in text
    assert "\x1b[" in _printed(finished_run, force_terminal=True, color_system="truecolor")


def test_the_legend_explains_shades_and_marks(finished_run: Path) -> None:
    """Each shade has its values, and the marks that occur are named."""
    text = render(finished_run, "terminal", None, 80)
    assert re.search(r"good +≤ [\d.]+ +░ ≤ [\d.]+ +▒ ≤ [\d.]+ +▓ ≤ [\d.]+ +█ > [\d.]+ m +bad", text)
    assert "? suspicious · ! invalid" in text
    assert "95 % interval], or ± its farther end; n = 192, over 2 seeds unless a cell" in text
    assert "n 96" in text


def _style_of(line: Text, word: str) -> str:
    place = line.plain.index(word)
    return " ".join(str(span.style) for span in line.spans if span.start <= place < span.end)


def test_a_suspicious_figure_is_never_coloured_as_a_good_one(finished_run: Path) -> None:
    """Marked figures stand outside the colours of the scale."""
    found = list(lines(finished_run, 120))
    suspicious = next(line for line in found if "2.95" in line.plain and "?" in line.plain)
    invalid = next(line for line in found if "2.35" in line.plain and "!" in line.plain)
    assert not any(style in _style_of(suspicious, "2.95") for style in STYLES)
    assert not any(style in _style_of(invalid, "2.35") for style in STYLES)
    assert STYLES[4] in _style_of(invalid, "5.72")


def test_what_failed_and_what_was_impossible_is_said_with_its_reason(finished_run: Path) -> None:
    """Evidence, errors and reasons stand below the matrix with the cells that they concern."""
    text = " ".join(render(finished_run, "terminal", None, 100).split())
    assert "× adversarial-training finite-outputs: the victim answered NaN for 7 of 96 examples" in text
    assert "× smoothing (seed 0) gradients: the gradient was zero for 90 of 96" in text
    assert "pso ≤ 1 m × randomised-smoothing RuntimeError: shape mismatch" in text
    assert (
        "certificate proven bound × none, smoothing, augmentation, adversarial-training this defense" in text
    )
    assert "67 of 81 cells done, 3 failed, 10 n/a, 1 missing" in text


def test_threat_models_and_costs_stand_by_the_attacks(finished_run: Path) -> None:
    """Each attack is shown in full with its grant and its passes, queries and seconds."""
    text = render(finished_run, "terminal", None, 100)
    after = text[text.index("Threat models") :]
    assert re.search(r"pso ≤ 1 m +1,010 +0 +1,010 +80\.8 +–\n +access score; deviation ≤ 1 m", after)
    assert "search:restarts=4,iterations=50 ≤ 1 m, oblivious" in after
    assert "24 of 768 examples invalid, scored as failed attacks" in " ".join(after.split())
    assert "99 of 864 examples not converged" in " ".join(after.split())


def test_the_command_can_be_copied(finished_run: Path) -> None:
    """An unfinished run ends with the command that finishes it, readable by a shell."""
    text = render(finished_run, "terminal", None, 80)
    command = text[text.index("Finish with") + len("Finish with") :]
    assert shlex.split(command.replace("\\\n", "")) == shlex.split(COMMAND)


def test_terminals_without_unicode_get_ascii(finished_run: Path) -> None:
    """An ASCII terminal sees shades, bounds and signs spelled in ASCII."""

    class Ascii(io.StringIO):
        encoding = "ascii"

    stream = Ascii()
    print_report(finished_run, Console(file=stream, width=80, _environ={}, legacy_windows=False))
    text = stream.getvalue()
    assert text.isascii()
    assert "# 5.72" in text
    assert "<= 1 m" in text


def test_markup_in_a_name_is_only_text(own_run: Path) -> None:
    """Brackets in an error message do not become rich markup."""
    path = next(p for p in (own_run / "cells").iterdir() if "RuntimeError" in p.read_text())
    path.write_text(path.read_text().replace("shape mismatch", "[bold]x[/bold] [/red]"))
    assert "[bold]x[/bold] [/red]" in _printed(own_run)


def test_a_run_without_any_finished_cell_is_a_report_too(own_run: Path) -> None:
    """Interrupted before the first cell: the head and the command are shown."""
    for path in (own_run / "cells").iterdir():
        path.unlink()
    text = render(own_run, "terminal", None, 80)
    assert "0 of 81 cells done, 81 missing" in text
    assert "Finish with" in text


def test_a_run_where_everything_failed_says_so(own_run: Path) -> None:
    """No figure at all: the matrix shows the states and no legend pretends a scale."""
    for path in (own_run / "cells").iterdir():
        path.write_text(path.read_text().replace('"status": "done"', '"status": "failed"'))
    text = render(own_run, "terminal", None, 80)
    assert "no cell has a figure for this metric" in text
    assert "good" not in text


def test_groups_are_shown_on_request(single_seed_run: Path) -> None:
    """By group every speed regime has its matrix."""
    text = render(single_seed_run, "terminal", None, 100, by_group=True)
    assert all(f"group {name}" in text for name in ("high", "low", "medium"))


def test_an_unknown_format_is_a_usage_error(finished_run: Path) -> None:
    """The error lists the formats that exist."""
    with pytest.raises(UsageError, match="terminal, markdown, html, json, csv"):
        render(finished_run, "pdf")


def test_several_scenarios_have_their_own_matrices(own_run: Path) -> None:
    """Cells of another victim stand under their own heading and are told apart in the evidence."""
    for path in (own_run / "cells").iterdir():
        if '"seed": 1' in path.read_text():
            path.write_text(path.read_text().replace('"victim": "lstm"', '"victim": "fqa"'))
    text = render(own_run, "terminal", None, 100)
    assert "synthetic · victim lstm" in text
    assert "synthetic · victim fqa" in text
    assert "× smoothing on synthetic, fqa" in text
    summary = read_run(own_run)
    assert len(matrices(summary, own_run, chosen_metrics(summary, None))) == 2


@pytest.mark.parametrize(
    ("text", "width", "parts"),
    [
        ("adversarial-training", 12, ["adversarial-", "training"]),
        ("search:restarts=4,steps=9", 14, ["search:", "restarts=4,", "steps=9"]),
        ("none", 12, ["none"]),
        ("supercalifragilistic", 8, ["supercal", "ifragili", "stic"]),
        ("", 5, [""]),
    ],
)
def test_names_break_at_their_joints(text: str, width: int, parts: list[str]) -> None:
    """Names are folded at hyphens, colons and commas, cut only where there is no joint; nothing is lost."""
    assert pieces(text, width) == parts


def test_reports_do_not_import_torch(finished_run: Path) -> None:
    """Every face is made from records: torch is never imported, so no GPU is needed."""
    program = (
        "import sys\nfrom robeval.report.render import render\n"
        f"for name in ('terminal', 'markdown', 'json', 'csv'): assert render({str(finished_run)!r}, name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
