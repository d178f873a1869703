"""Where commands print: the terminal as it is, or lines wide enough not to be folded when piped."""

from __future__ import annotations

import os
from typing import NoReturn

from rich.console import Console

PIPED_WIDTH = 240


class Screen(Console):
    """A console that leaves a closed pipe to the shell (rich would exit with 1, our code of the gate)."""

    def on_broken_pipe(self) -> NoReturn:
        """Let `robeval.cli.shell` see it."""
        raise BrokenPipeError


def console(piped_width: int = PIPED_WIDTH) -> Console:
    """A console on stdout."""
    screen = Screen(highlight=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        return Screen(highlight=False, width=piped_width)
    return screen
