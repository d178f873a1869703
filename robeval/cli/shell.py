"""What holds the commands together: help, errors, exit codes.

Exit codes: 0 done, 1 the gate failed, 2 usage, 3 cells (or plugins) failed or are invalid, 4 trust checks
failed under --strict, 130 interrupted, 141 the reader of our output went away, 143 ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from robeval import __version__
from robeval.errors import RobevalError, UsageError, nearest

DONE, USAGE, FAILED, INTERRUPTED, READER_GONE = 0, 2, 3, 130, 141

COMMANDS = {
    "run": "Run attacks against defenses and print the matrix.",
    "report": "Show a run again: terminal, markdown, html, json, csv.",
    "audit": "Can the figures of a finished run be trusted?",
    "compare": "What changed between two runs, and is it significant?",
    "serve": "List runs in the browser and compare two.",
    "baseline": "Record a run's figures for later checks.",
    "check": "Run again; fail when a recorded figure got worse.",
    "list": "List attacks, defenses, datasets, victims, domains, audit checks.",
    "show": "Explain one plugin: threat model, budget, options, source.",
    "new": "Start a plugin of your own: a working file and its test.",
    "doctor": "Check the installation, every plugin and the cache.",
    "cache": "Look at, check or shrink the cache.",
    "export": "Write a dataset in a public format, or a robust text encoder.",
}


class Shell(click.Group):
    """A group that imports a command's module when the command is called, and never for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` of `robeval/cli/<name>.py`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"robeval.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first. Raises click.UsageError with the nearest ones."""
        if args and args[0] not in COMMANDS:
            raise click.UsageError(_unknown_command(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, so that help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Shell, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="robeval", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (anywhere on the line).")
@click.pass_context
def shell(context: click.Context, debug: bool) -> None:
    """How well does this defense hold against this attack, and can you trust the number?

    Start with: robeval run
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """The `robeval` command; leaves by SystemExit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    code = call([word for word in words if word != "--debug"], debug)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        raise SystemExit(code)
    _silence_stdout()
    raise SystemExit(READER_GONE)


def call(words: Sequence[str], debug: bool = False) -> int:
    """Run one command line and return its exit code; every error becomes a message for people."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without "≤" gets "?", not a crash
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return _invoke(words)
    except BrokenPipeError:
        _silence_stdout()
        return READER_GONE
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", INTERRUPTED, debug)
    except click.ClickException as error:
        return _say(_with_help(error), USAGE, debug)
    except UsageError as error:
        return _say(str(error), USAGE, debug)
    except RobevalError as error:
        return _say(str(error), FAILED, debug)
    except Exception as error:
        return _say(_unexpected(error), FAILED, debug)


def _warn(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """A warning for people: what, and not in which line of our code."""
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=sys.stderr)


def _invoke(words: Sequence[str]) -> int:
    try:
        with shell.make_context("robeval", list(words), obj=tuple(words)) as context:
            answer = shell.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            raise UsageError(leaving.code) from leaving
        return leaving.code or DONE
    return answer if isinstance(answer, int) else DONE


def _say(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        print(f"error: {message}", file=sys.stderr)
    return code


def _with_help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "robeval"
    return f"{error.format_message()}\nSee: {where} --help"


def _unexpected(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return (
        f"unexpected {type(error).__name__}: {error}{where}\n"
        "This is a defect of robeval or of a plugin. Run again with --debug and report what it prints."
    )


def _unknown_command(name: str) -> str:
    if Path(name).suffix in (".yaml", ".yml"):
        return f"no command '{name}'. Did you mean: robeval run {name}"
    near = nearest(name, COMMANDS)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"no command '{name}'.{hint} Commands: {', '.join(COMMANDS)}"


def _silence_stdout() -> None:
    """Python flushes stdout at exit; when its reader is gone, that must not print a second error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
