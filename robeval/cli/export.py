"""`robeval export synthetic`: a built-in dataset as the files of a public one."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("nuscenes", "apolloscape", "ngsim")


@click.command("export")
@click.argument("dataset", type=click.Choice(["synthetic"]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "layout", type=click.Choice(FORMATS), required=True, help="Whose files to write.")
@click.option("--scenes", type=click.IntRange(min=1), default=20, show_default=True, help="How many scenes.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed writes the same files.")
def command(dataset: str, folder: Path, layout: str, scenes: int, seed: int) -> None:
    """Write a built-in dataset in the format of a public one, for example as devkit test data.

    robeval export synthetic --format nuscenes DIR
    """
    from robeval_datasets.trajectory.export import write

    click.echo(write(layout, folder, scenes=scenes, seed=seed))
