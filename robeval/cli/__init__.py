"""The command line: one command per file, each imported only when it is called."""

from robeval.cli.shell import main

__all__ = ["main"]
