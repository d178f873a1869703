"""`robeval doctor --canaries`: proof on the spot that the checks catch what they must."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from robeval.errors import UsageError
from robeval.plugins.registry import Registry


def prove_all(registry: Registry, domain: str | None) -> int:
    """Prove the checks on one domain, or on every domain that can; the exit code: 0, or 3 where one fails.

    Raises UsageError for a domain that names no strong and weak attack.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from robeval.cli.console import console
    from robeval.engine.cache import Cache, cache_directory
    from robeval.engine.progress import watcher_for
    from robeval.testing.proving import prove

    names = _provable(registry, domain)
    table = Table(
        "", "cell", "must be flagged by", "flagged by", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    failed = 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder, watcher_for(Console(stderr=True)) as watcher:
            proofs = prove(name, registry, Cache(cache_directory()), Path(folder) / name, watcher)
        for proof in proofs:
            failed += not proof.holds
            mark = Text("ok", style="green") if proof.holds else Text("!!", style="red")
            table.add_row(
                mark,
                Text(f"{name}: {proof.cell}"),
                proof.expected or "nobody",
                ", ".join(proof.found) or "nobody",
            )
    console().print(table)
    click.echo(
        f"\n{failed} canaries not caught or honest cells flagged"
        if failed
        else "\nall canaries caught, no honest cell flagged"
    )
    return 3 if failed else 0


def _provable(registry: Registry, domain: str | None) -> list[str]:
    from robeval.testing.proving import provable

    if domain is not None:
        entry = registry.find("domain", domain)
        if not provable(entry.load()):
            raise UsageError(
                f"domain '{entry.name}' has no canaries: it needs continuous inputs, and a strong and a weak attack "
                "in its `probes`"
            )
        return [entry.name]
    return [entry.name for entry in registry.of("domain") if not entry.extra and provable(entry.load())]
