"""`robeval run` as a user meets it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Robeval = Callable[..., tuple[int, str, str]]
LINEAR = ("run", "linear", "--plugin", "GUEST")


@pytest.fixture
def robeval(robeval: Robeval, guest: Path, home: Path) -> Robeval:
    """Commands typed in an empty folder; `GUEST` stands for the plugin file."""
    return lambda *words: robeval(*(str(guest) if word == "GUEST" else word for word in words))


def test_a_run_prints_its_matrix(robeval: Robeval, home: Path) -> None:
    """The report names attacks, defenses, sample size and the command that repeats the run."""
    code, out, _ = robeval(*LINEAR, "-a", "none", "-a", "worst", "-d", "none")
    assert code == 0
    for word in ("accuracy", "worst", "none", "robeval run linear"):
        assert word in out
    assert "64" in out
    (folder,) = (home / "runs").iterdir()
    assert folder.name.startswith("linear-")


def test_json_goes_to_stdout_alone(robeval: Robeval) -> None:
    """With --json - standard output is one JSON document, and the matrix goes to standard error."""
    code, out, err = robeval(*LINEAR, "-a", "worst", "--json", "-")
    summary = json.loads(out)
    assert code == 0
    assert summary["schema"] == 1
    assert [cell["attack"] for cell in summary["cells"]] == ["none", "worst"]
    assert "accuracy" in err


def test_the_same_command_again_is_answered_from_the_folder(robeval: Robeval) -> None:
    """A finished run is not run again, and shows the same figures."""
    words = (*LINEAR, "-a", "worst", "--json", "-")
    first, second = robeval(*words), robeval(*words)
    assert json.loads(first[1])["cells"] == json.loads(second[1])["cells"]
    assert "2 of 2 cells from cache" in second[2]


def test_dry_run_runs_nothing(robeval: Robeval, home: Path) -> None:
    """--dry-run prints the trainings and cells, and leaves no run behind."""
    code, out, _ = robeval(*LINEAR, "--victim", "fitted-line", "-a", "worst", "-d", "none", "--dry-run")
    assert code == 0
    assert "fitted-line" in out
    assert "to train" in out
    assert not (home / "runs").exists()


def test_a_saved_config_repeats_the_run(robeval: Robeval, home: Path) -> None:
    """--save-config writes what `robeval run FILE` needs to give the same cells."""
    robeval(
        *LINEAR, "-a", "worst", "--budget", "0.1,0.2", "--save-config", "again.yaml", "--json", "one.json"
    )
    code, _, _ = robeval("run", "again.yaml", "--json", "two.json")
    one, two = (json.loads((home / name).read_text()) for name in ("one.json", "two.json"))
    assert code == 0
    assert one["cells"] == two["cells"]
    assert len(one["cells"]) == 3


def test_flags_win_over_the_file(robeval: Robeval, home: Path) -> None:
    """A flag beside an experiment file replaces that field."""
    robeval(*LINEAR, "-a", "worst", "--save-config", "again.yaml", "--dry-run")
    robeval("run", "again.yaml", "-a", "random-corner", "--json", "one.json")
    assert [c["attack"] for c in json.loads((home / "one.json").read_text())["cells"]] == [
        "none",
        "random-corner",
    ]


def test_a_failing_cell_gives_exit_3_and_one_line(robeval: Robeval) -> None:
    """The other cells are done, the reason is said, no traceback is shown."""
    code, out, err = robeval(*LINEAR, "-a", "broken", "-a", "worst")
    assert code == 3
    assert "RuntimeError: out of luck" in err + out
    assert "Traceback" not in err + out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "linaer", "--plugin", "GUEST"), "Did you mean 'linear'"),
        ((*LINEAR, "-a", "wosrt"), "Did you mean 'worst'"),
        ((*LINEAR, "-a", "worst:stepps=3"), "no option 'stepps'"),
        ((*LINEAR, "--victim", "fitted-line:steps=0"), "greater than or equal to 1"),
        ((*LINEAR, "-a", "worst:surrogate=lime"), "surrogate of attack 'worst'"),
        ((*LINEAR, "--budget", "lots"), "numbers separated by commas"),
        ((*LINEAR, "--budget", "-1"), "finite number ≥ 0"),
        (("run", "nowhere.yaml"), "no such file"),
        ((*LINEAR, "--metric", "acuracy"), "Did you mean 'accuracy'"),
        (("run", "trajectory", "--dataset", "eth-ucy:root=nowhere"), "no such file or folder: nowhere"),
        (
            ("run", "trajectory", "--victim", "lstm:checkpoint=nowhere.ckpt"),
            "nowhere.ckpt. It is the checkpoint",
        ),
        (("run", "linear", "--plugin", "nowhere.py"), "no such file"),
        ((*LINEAR, "--out", "notes.txt"), "notes.txt is a file"),
        ((*LINEAR, "--max-examples", "0"), "max-examples"),
        ((*LINEAR, "-d", "trajectory/smoothing"), "belongs to domain 'trajectory'"),
    ],
)
def test_a_mistake_gets_one_clear_message(
    robeval: Robeval, home: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit code 2, what is wrong and what would be right, no traceback, nothing half-written."""
    (home / "notes.txt").write_text("mine")
    code, out, err = robeval(*words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err + out
    assert (home / "notes.txt").read_text() == "mine"
    assert not (home / "runs").exists()


def test_strict_turns_suspicion_into_exit_4(robeval: Robeval) -> None:
    """A budget of zero is suspicious: 0 without --strict, 4 with it."""
    words = (*LINEAR, "-a", "worst", "--budget", "0")
    assert robeval(*words)[0] == 0
    assert robeval(*words, "--strict")[0] == 4


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_precision_passes_through(robeval: Robeval, home: Path, precision: str) -> None:
    """Lightning's precisions reach training and evaluation, with figures near single precision's."""
    words = (
        *LINEAR,
        "--victim",
        "fitted-line",
        "-a",
        "worst",
        "--precision",
        precision,
        "--json",
        "one.json",
    )
    assert robeval(*words)[0] == 0
    _, cell = json.loads((home / "one.json").read_text())["cells"]
    assert cell["metrics"]["margin"]["value"] < 1.0


@pytest.mark.parametrize(
    ("flag", "value"), [("--precision", "7-true"), ("--accelerator", "abacus"), ("--devices", "0")]
)
def test_an_impossible_execution_is_a_usage_error(
    robeval: Robeval, home: Path, flag: str, value: str
) -> None:
    """What Lightning cannot do is said before anything runs."""
    code, _, err = robeval(*LINEAR, "-a", "worst", flag, value)
    assert code == 2
    assert value in err
    assert not (home / "runs").exists()
