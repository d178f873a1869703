"""`robeval export`: a built-in dataset as the files of a public one; a robust text encoder for other models."""

from __future__ import annotations

from pathlib import Path

import click

from robeval.cli.export_text_encoder import text_encoder

FORMATS = ("nuscenes", "apolloscape", "ngsim")


@click.group("export")
def command() -> None:
    """Write what others can read: a dataset in a public format, or a robust text encoder."""


@command.command("synthetic")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "layout", type=click.Choice(FORMATS), required=True, help="Whose files to write.")
@click.option("--scenes", type=click.IntRange(min=1), default=20, show_default=True, help="How many scenes.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed writes the same files.")
def synthetic(folder: Path, layout: str, scenes: int, seed: int) -> None:
    """Write the built-in traffic in the format of a public dataset, for example as devkit test data.

    robeval export synthetic --format nuscenes DIR
    """
    from robeval_datasets.trajectory.export import write

    click.echo(write(layout, folder, scenes=scenes, seed=seed))


command.add_command(text_encoder)
