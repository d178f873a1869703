"""`robeval export text-encoder`: what a defense trained in one text-to-image model, for another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.errors import MissingFile, UsageError

if TYPE_CHECKING:
    from robeval.engine.plan import Cell, Plan

DOMAIN = "diffusion"


@click.command("text-encoder")
@click.argument("source", metavar="RUN_OR_DEFENSE")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--defense", metavar="SPEC", help="Which defense of a run, where it has several.")
@click.option("--dataset", metavar="SPEC", help="What a defense is trained with; the domain's default.")
@click.option("--victim", metavar="SPEC", help="The model it is trained in; the domain's default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training (not of a run).")
def text_encoder(
    source: str, folder: Path, defense: str | None, dataset: str | None, victim: str | None, seed: int
) -> None:
    """Write the text encoder of a defended text-to-image model, for other models of its kind.

    \b
    robeval export text-encoder runs/RUN DIR --defense adv-unlearn
    robeval export text-encoder adv-unlearn DIR

    Weights come from the cache; what is not there is trained. The folder is read by
    CLIPTextModel.from_pretrained(DIR), by --victim pretrained:path=...,text_encoder=DIR and by --defense
    text-encoder:weights=DIR.
    """
    from robeval.domains.diffusion.transplant import export_text_encoder

    is_run = (Path(source) / "run.json").is_file()
    if is_run and (dataset or victim):
        raise UsageError(
            "a run says itself which dataset and victim it has; leave out --dataset and --victim"
        )
    if not is_run and defense is not None:
        raise UsageError(
            f"--defense chooses among a run's, but {source} is no run folder; write the defense alone"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty, and nothing is overwritten; give a new folder")
    if not is_run and Path(source).exists():
        raise MissingFile(Path(source) / "run.json", "A run folder is what `robeval run` writes.")
    plan = _plan_of_run(Path(source)) if is_run else _plan_of_defense(source, dataset, victim, seed)
    cell = _chosen(plan, defense)
    about = {"dataset": str(cell.dataset), "victim": str(cell.victim), "defense": str(cell.defense)}
    export_text_encoder(_defended(plan, cell), folder, {**about, "seed": cell.seed})
    click.echo(f"wrote {folder}: the text encoder of {cell.victim} under {cell.defense}, seed {cell.seed}")


def _plan_of_run(folder: Path) -> Plan:
    from robeval.engine.replay import plan_of

    plan = plan_of(folder)
    if plan.experiment.domain != DOMAIN:
        raise UsageError(
            f"{folder} is a run of domain '{plan.experiment.domain}'; text encoders are of domain '{DOMAIN}'"
        )
    return plan


def _plan_of_defense(defense: str, dataset: str | None, victim: str | None, seed: int) -> Plan:
    from robeval.engine.experiment import build_experiment, specs
    from robeval.engine.plan import make_plan
    from robeval.plugins.discovery import discover

    given: dict[str, Any] = {"datasets": dataset, "victims": victim}
    experiment = build_experiment(
        domain=DOMAIN,
        attacks=specs(("none",)),
        defenses=specs((defense,)),
        seeds=1,
        seed=seed,
        **{name: specs((value,)) for name, value in given.items() if value},
    )
    return make_plan(experiment, discover())


def _chosen(plan: Plan, defense: str | None) -> Cell:
    """The first cell of the wanted defense. Raises UsageError when that leaves more than one model, or none."""
    from robeval.plugins.specs import PluginSpec

    cells: dict[tuple[str, str, str], Cell] = {}
    for cell in plan.cells:
        if not cell.refused and not cell.members:
            cells.setdefault((str(cell.dataset), str(cell.victim), str(cell.defense)), cell)
    if defense is not None:
        wanted = str(plan.catalog.canonical("defense", PluginSpec.parse(defense)))
        chosen = {key: cell for key, cell in cells.items() if key[2] == wanted}
        if not chosen:
            raise UsageError(f"the run has no defense '{wanted}'; it has: {_named(cells)}")
    else:
        chosen = {key: cell for key, cell in cells.items() if key[2] != "none"} or cells
    if len(chosen) != 1:
        raise UsageError(f"which one? Choose with --defense: {_named(chosen)}")
    return next(iter(chosen.values()))


def _named(cells: dict[tuple[str, str, str], Cell]) -> str:
    return ", ".join(sorted({key[2] for key in cells}))


def _defended(plan: Plan, cell: Cell) -> Any:
    """The defended victim, from the cache or made now."""
    import tempfile

    from rich.console import Console

    from robeval.engine.cache import Cache, cache_directory
    from robeval.engine.evaluate import Evaluator
    from robeval.engine.progress import watcher_for
    from robeval.results.store import RunFolder

    with tempfile.TemporaryDirectory() as nowhere, watcher_for(Console(stderr=True)) as watcher:
        evaluator = Evaluator(
            plan.experiment, plan.catalog, Cache(cache_directory()), RunFolder(Path(nowhere)), watcher
        )
        return evaluator.stages.judged(cell)
