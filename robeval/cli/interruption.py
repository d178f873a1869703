"""What is said when a command is stopped from outside."""

import click

from robeval.cli.shell import INTERRUPTED


def interrupted(stopped: BaseException, repeat: str | None) -> int:
    """The command that continues, and the exit code: 128 and the signal's number."""
    told = f"interrupted; nothing finished is lost. Continue with: {repeat}" if repeat else "interrupted"
    click.echo(f"\n{told}", err=True)
    code: int = getattr(stopped, "exit_code", INTERRUPTED)
    return code
