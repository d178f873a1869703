"""The shell around the commands: help, errors for people, exit codes, speed."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click
import pytest

import robeval.cli.shell as shell
from robeval import __version__
from robeval.errors import OptionError, PluginError, StoreError

Run = Callable[..., Any]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `robeval doctor` end with an error, or by returning normally."""

    def fail(error: BaseException) -> None:
        @click.command("doctor")
        def command() -> None:
            raise error

        module = ModuleType("robeval.cli.doctor")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "robeval.cli.doctor", module)

    return fail


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_command(robeval: Run, words: list[str]) -> None:
    """`robeval` alone is a call for help, and no error."""
    outcome = robeval(*words)
    assert outcome.code == 0
    for name, summary in shell.COMMANDS.items():
        assert f"  {name} " in outcome.out
        assert summary in outcome.out


@pytest.mark.parametrize("name", shell.COMMANDS)
def test_every_command_has_help(robeval: Run, name: str) -> None:
    """Each name in the table has a module with a `command`."""
    outcome = robeval(name, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: robeval {name}")


def test_the_version_is_the_packages(robeval: Run) -> None:
    """One source of truth."""
    assert robeval("--version").out.strip() == f"robeval {__version__}"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["lst"], ["no command 'lst'", "Did you mean 'list'?"]),
        (["zzz"], ["no command 'zzz'", "Commands: run, "]),
        (["experiment.yaml"], ["Did you mean: robeval run experiment.yaml"]),
        (["list", "--jsn"], ["--jsn", "See: robeval list --help"]),
        (["--nope"], ["--nope", "See: robeval --help"]),
        (["show"], ["NAME", "See: robeval show --help"]),
    ],
)
def test_a_wrong_call_is_explained_and_exits_with_2(robeval: Run, words: list[str], parts: list[str]) -> None:
    """One message on stderr that names the next step; nothing on stdout."""
    outcome = robeval(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OptionError("no such option"), 2, "error: no such option\n"),
        (PluginError("broken plugin"), 3, "error: broken plugin\n"),
        (StoreError("broken run"), 3, "error: broken run\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (click.Abort(), 130, "error: interrupted\n"),
        (SystemExit(4), 4, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("say why"), 2, "error: say why\n"),
        (click.exceptions.Exit(3), 3, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_an_error_has_its_exit_code(
    robeval: Run, failing: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    """Usage 2, broken plugins and stores 3, interruption 130; a command's own code passes through."""
    monkeypatch.setattr(shell, "_silence_stdout", lambda: None)
    failing(error)
    outcome = robeval("doctor")
    assert (outcome.code, outcome.err) == (code, message)


def test_a_defect_is_one_message_that_asks_for_a_report(robeval: Run, failing: Any) -> None:
    """The type, the reason and the place, but no traceback unless it is asked for."""
    failing(ZeroDivisionError("division by zero"))
    outcome = robeval("doctor")
    assert outcome.code == 3
    assert "unexpected ZeroDivisionError: division by zero at " in outcome.err
    assert "--debug" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in robeval("doctor", debug=True).err


@pytest.mark.parametrize("words", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_may_stand_anywhere(failing: Any, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Before or behind the command, it shows the traceback and changes no exit code."""
    failing(OptionError("no such option"))
    with pytest.raises(SystemExit) as leaving:
        shell.main(words)
    assert leaving.value.code == 2
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert captured.err.endswith("error: no such option\n")


HEAVY = ("torch", "pytorch_lightning", "numpy", "pydantic", "scipy", "matplotlib", "pyarrow")
CODE = (
    "import sys; from robeval.cli.shell import call; code = call({words}); "
    "print(code, {heavy} & sys.modules.keys())"
)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list"], ["list", "attacks", "--json"], ["lst"]]
)
def test_looking_around_imports_nothing_heavy(
    python: Callable[..., subprocess.CompletedProcess[str]], words: list[str]
) -> None:
    """Help and lists are instant because neither torch nor its company is imported."""
    done = python("-c", CODE.format(words=words, heavy=set(HEAVY)))
    assert done.stdout.splitlines()[-1] == f"{2 if words == ['lst'] else 0} set()", done.stderr


def test_the_module_is_the_command(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`python -m robeval` needs no script on the path."""
    done = python("-m", "robeval", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"robeval {__version__}")


def test_a_closed_pipe_is_no_error_message(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`robeval list | head -0` says nothing on stderr."""
    code = (
        "import os, subprocess, sys\n"
        "read, write = os.pipe(); os.close(read)\n"
        "words = [sys.executable, '-m', 'robeval', 'list']\n"
        "done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE)\n"
        "print(done.returncode, done.stderr)\n"
    )
    assert python("-c", code).stdout.strip() == "141 b''"


def test_a_terminal_without_unicode_gets_question_marks(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """An ASCII terminal shows `?` for signs that it lacks."""
    done = python("-m", "robeval", "show", "none", "--kind", "attack", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "nothing ? 0" in done.stdout


def test_a_warning_is_a_sentence(robeval, home, guest) -> None:
    """A warning says what is odd about the data, not which line of our code noticed it."""
    guest.write_text(
        "import warnings\nfrom robeval.testing import linear\n"
        "def register(registry):\n    warnings.warn('rows are given twice')\n    linear.register(registry)\n"
    )
    err = robeval("list", "--plugin", guest).err
    assert "warning: rows are given twice" in err
    assert "guest.py" not in err
