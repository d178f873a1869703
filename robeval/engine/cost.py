"""What a plan may cost, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from robeval.engine.cache import Cache, cache_directory
from robeval.engine.catalog import Catalog
from robeval.engine.plan import CERTIFICATE, Cell, Plan
from robeval.engine.progress import Watcher
from robeval.engine.train import Trainings

PASS_S = 20e-6
"""Seconds for one small victim's row forward and backward on a laptop core: an order of magnitude, no promise."""
STEP_S = 15e-3
"""Seconds for one training step of a small victim."""


@dataclass(frozen=True)
class Estimate:
    """Rows through the victim per example, and what the cells of a row may take."""

    passes: float
    seconds: float


def passes_per_example(catalog: Catalog, cell: Cell) -> float:
    """Forward rows that an attack's options ask for, per example: the product of its counting options."""
    if cell.attack == CERTIFICATE:
        return 1.0
    options: dict[str, Any] = catalog.effective("attack", cell.attack)
    counts = ("restarts", "iterations", "particles", "steps", "samples", "queries")
    product = 1.0
    for name in counts:
        value = options.get(name)
        product *= value if isinstance(value, int) and value > 0 else 1
    return product * (6 if options.get("objective") == "all" else 1)


def estimate(plan: Plan, cell: Cell, examples: int) -> Estimate:
    """A rough cost of one cell."""
    passes = passes_per_example(plan.catalog, cell)
    options = plan.catalog.effective("defense", cell.defense)
    inside = options.get("samples")
    factor = inside if isinstance(inside, int) else 1
    return Estimate(passes * factor, passes * factor * examples * PASS_S)


def plan_table(plan: Plan) -> Group:
    """The plan for people: the trainings, the rows, the impossible pairs."""
    examples = plan.experiment.max_examples or 0
    trainings = Trainings(plan.catalog, Cache(cache_directory()), plan.experiment.execution, Watcher())
    fits = Table(title="Trainings (each shared by all cells that need it)", title_justify="left")
    fits.add_column("victim", overflow="fold")
    fits.add_column("steps", justify="right")
    fits.add_column("state")
    seconds = 0.0
    for fit in plan.fits():
        steps = plan.catalog.effective("victim", fit.victim).get("steps", 0)
        cached = trainings.cache.find("victims", trainings.key(fit)) is not None
        seconds += 0.0 if cached else float(steps or 0) * STEP_S
        fits.add_row(str(fit), str(steps), "cached" if cached else "to train")
    rows = Table(title="Cells", title_justify="left")
    for name in ("attack", "knowledge", "budget", "victim", "cells", "passes/example", "about"):
        is_text = name in ("attack", "knowledge", "victim")
        rows.add_column(name, justify="left" if is_text else "right", overflow="fold")
    grouped: dict[tuple[str, str, float, str], list[Cell]] = {}
    for cell in plan.cells:
        grouped.setdefault((str(cell.attack), cell.knowledge, cell.budget, str(cell.victim)), []).append(cell)
    for (attack, knowledge, budget, victim), cells in grouped.items():
        estimates = [estimate(plan, cell, examples or 1000) for cell in cells if not cell.refused]
        total = sum(e.seconds for e in estimates)
        seconds += total
        mean = sum(e.passes for e in estimates) / max(len(estimates), 1)
        rows.add_row(
            attack, knowledge, f"{budget:g}", victim, str(len(estimates)), f"{mean:,.0f}", f"{total:.0f} s"
        )
    refused = [Text(f"n/a: {cell}: {cell.refused}") for cell in plan.cells if cell.refused]
    count = f"{examples} examples a cell" if examples else "all test examples"
    total_text = Text(
        f"{len(plan.cells)} cells, {count}, {plan.experiment.seeds} seed(s); "
        f"roughly {seconds:.0f} s on a laptop if nothing is cached (an order of magnitude)"
    )
    return Group(fits, rows, *refused, total_text)
