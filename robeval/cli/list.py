"""`robeval list`: what can be run, without importing any of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from robeval.cli.flags import plugin_files
from robeval.errors import UsageError, nearest
from robeval.plugins.discovery import discover
from robeval.plugins.registry import KINDS, Entry, Registry

SCHEMA = 1
PLURALS = {f"{kind}s": kind for kind in KINDS}


@click.command("list")
@click.argument("what", required=False, metavar="[attacks|defenses|datasets|victims|domains|checks]")
@click.option("--domain", metavar="NAME", help="Only what this domain can use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@plugin_files
def command(what: str | None, domain: str | None, as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """List the attacks, defenses, datasets, victims, domains and audit checks."""
    registry = discover(plugin_files)
    kinds = _kinds(what)
    if domain is not None:
        registry.find("domain", domain)
    found = {kind: registry.of(kind, domain) for kind in kinds}
    if as_json:
        click.echo(json.dumps(_document(found, registry), indent=2, ensure_ascii=False))
        return
    _print(found)
    for place, reason in registry.broken:
        click.echo(f"broken: {place}: {reason} (see: robeval doctor)", err=True)


def _kinds(what: str | None) -> tuple[str, ...]:
    if what in (None, "plugins"):
        return tuple(reversed(KINDS))
    if what in KINDS or what in PLURALS:
        return (PLURALS.get(what, what),)
    near = nearest(what, PLURALS)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"nothing of the kind '{what}' to list.{hint} Kinds: {', '.join(PLURALS)}")


def _document(found: dict[str, list[Entry]], registry: Registry) -> dict[str, Any]:
    plugins = [
        {
            "kind": entry.kind,
            "name": entry.name,
            "domain": entry.domain,
            "summary": entry.summary,
            "extra": entry.extra,
            "place": entry.place,
        }
        for entries in found.values()
        for entry in entries
    ]
    broken = [{"place": place, "reason": reason} for place, reason in registry.broken]
    return {"schema": SCHEMA, "plugins": plugins, "broken": broken}


def _print(found: dict[str, list[Entry]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from robeval.cli.console import console

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, entries in found.items():
        if table.row_count:
            table.add_row()
        table.add_row(Text(f"{kind}s", style="bold"), "" if entries else "none")
        for entry in entries:
            extra = f" [needs robeval[{entry.extra}]]" if entry.extra else ""
            table.add_row(Text(f"  {entry.name}", style="cyan"), Text(entry.summary + extra))
    console().print(table)
