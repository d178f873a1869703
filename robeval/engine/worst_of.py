"""Which worst-of rows a plan has: per access, over all attacks of equal or weaker access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robeval.plugins.specs import PluginSpec

if TYPE_CHECKING:
    from robeval.engine.catalog import Catalog
    from robeval.engine.plan import Cell

CERTIFICATE = PluginSpec(name="certificate")
WORST_OF = "worst-of"
STRENGTH = ("none", "rank", "decision", "score", "white-box")
"""Access to the victim at inference, each granting more than those before."""


def with_worst_of(cells: Sequence[Cell], catalog: Catalog) -> Iterator[Cell]:
    """The cells, and behind the attacks of each scenario the worst of them, example by example.

    One row per budget and per access that adds an attack to weaker ones: it covers all attacks of equal or weaker
    access under the same budget and knowledge.
    """
    grouped: dict[Any, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.dataset, cell.victim), []).append(cell)
    for scenario in grouped.values():
        certificates = [cell for cell in scenario if cell.attack == CERTIFICATE]
        yield from (cell for cell in scenario if cell.attack != CERTIFICATE)
        yield from _worst_of(scenario, catalog)
        yield from certificates


def _worst_of(cells: Sequence[Cell], catalog: Catalog) -> Iterator[Cell]:
    pools: dict[Any, dict[Any, list[Cell]]] = {}
    levels: dict[Any, dict[str, None]] = {}
    for cell in cells:
        if cell.attack == CERTIFICATE or not catalog.attack(cell.attack).perturbs:
            continue
        grant = catalog.attack(cell.attack).grant
        if grant.access not in STRENGTH:
            continue
        # An attack that asks nothing has no knowledge to differ in: it stands in both rows.
        asks = grant.access != "none" and not catalog.attack(cell.attack).transfers_from
        for knowledge in (cell.knowledge,) if asks else dict.fromkeys(c.knowledge for c in cells):
            kind = (grant.budget.name, cell.budget, knowledge)
            pools.setdefault(kind, {}).setdefault((cell.defense, cell.seed), []).append(cell)
            levels.setdefault(kind, {})[grant.access] = None
    for kind, places in pools.items():
        covered = 0
        for level in sorted(levels[kind], key=STRENGTH.index):
            allowed = STRENGTH[: STRENGTH.index(level) + 1]
            for place, here in places.items():
                members = tuple(c for c in here if catalog.attack(c.attack).grant.access in allowed)
                if place == next(iter(places)):
                    fresh, covered = len(members) > max(covered, 1), len(members)
                alive = tuple(cell for cell in members if not cell.refused)
                if fresh and alive:
                    yield _worst_cell(alive, level, kind)


def _worst_cell(members: tuple[Cell, ...], access: str, kind: tuple[str, float, str]) -> Cell:
    attack = PluginSpec(name=WORST_OF, options={"access": access})
    return replace(members[0], attack=attack, knowledge=kind[2], refused=None, source=None, members=members)
