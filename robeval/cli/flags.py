"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

plugin_files = click.option(
    "--plugin",
    "plugin_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A Python file with your own plugins; may be given several times.",
)
