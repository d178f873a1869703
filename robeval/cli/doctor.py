"""`robeval doctor`: is everything here that a run needs, and does every plugin import?"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from robeval import __version__
from robeval.cli.flags import plugin_files
from robeval.errors import MissingExtra, RobevalError
from robeval.plugins.discovery import discover
from robeval.plugins.registry import Entry, Registry

if TYPE_CHECKING:
    from robeval.plugins.options import Option

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "numpy",
    "scipy",
    "pydantic",
    "pyarrow",
    "safetensors",
    "nuscenes-devkit",
)
MARKS = {"ok": ("ok", "green"), "note": ("--", "yellow"), "broken": ("!!", "red")}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    state: Literal["ok", "note", "broken"]
    what: str
    detail: str


@click.command("doctor")
@click.option(
    "--canaries",
    is_flag=True,
    help="Prove that the trust checks flag broken defenses and a weak attack, and only these.",
)
@click.option("--domain", metavar="NAME", help="With --canaries: this domain's only.")
@plugin_files
@click.pass_context
def command(
    context: click.Context, canaries: bool, domain: str | None, plugin_files: tuple[Path, ...]
) -> None:
    """Check the installation and every plugin.

    Exits with 3 when something is broken; an absent optional package is no fault.
    """
    if canaries:
        from robeval.cli.canaries import prove_all

        context.exit(prove_all(discover(plugin_files), domain))
    from rich.table import Table
    from rich.text import Text

    from robeval.cli.console import console

    registry = discover(plugin_files)
    findings = [*environment(), *extras(), *plugins(registry), *guests(registry), *data(registry), *cache()]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        mark, colour = MARKS[finding.state]
        table.add_row(Text(mark, style=colour), Text(finding.what, style="bold"), Text(finding.detail))
    console().print(table)
    broken = sum(finding.state == "broken" for finding in findings)
    click.echo(f"\n{broken} broken" if broken else "\nall good")
    context.exit(3 if broken else 0)


def environment() -> Iterator[Finding]:
    """Python, the packages that runs depend on, and the device."""
    yield Finding("ok", "robeval", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("ok", "python", f"{platform.python_version()} ({sys.executable}), {platform.platform()}")
    for name in PACKAGES:
        found = _version(name)
        optional = name == "nuscenes-devkit" and sys.version_info >= (3, 13)
        state: Literal["ok", "note", "broken"] = "ok" if found else ("note" if optional else "broken")
        yield Finding(state, name, found or "absent; run: python -m pip install " + name)
    yield _device()


def _device() -> Finding:
    try:
        import torch
    except Exception as error:
        return Finding("broken", "device", f"torch cannot be imported: {error}")
    threads = f"{torch.get_num_threads()} CPU threads of {os.cpu_count()}"
    if torch.cuda.is_available():
        return Finding("ok", "device", f"{torch.cuda.get_device_name()}; {threads}")
    return Finding("ok", "device", f"{threads}; no GPU (every built-in domain runs without)")


def extras() -> Iterator[Finding]:
    """The optional dependencies of robeval, extra by extra."""
    wanted: dict[str, list[str]] = {}
    for line in requires("robeval") or []:
        match = re.match(r"([A-Za-z0-9._-]+).*extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if match and match[1] != "robeval":
            wanted.setdefault(match[2], []).append(match[1])
    for extra, names in sorted(wanted.items()):
        if extra in ("test", "lint", "all"):
            continue
        missing = [name for name in names if not _version(name)]
        if missing:
            advice = f"absent: {', '.join(missing)}; run: pip install 'robeval[{extra}]'"
            yield Finding("note", f"extra {extra}", advice)
        else:
            yield Finding("ok", f"extra {extra}", ", ".join(f"{name} {_version(name)}" for name in names))


def plugins(registry: Registry) -> Iterator[Finding]:
    """Every registered plugin, imported and asked for its options."""
    good = 0
    for entry in registry.entries.values():
        finding = check(entry)
        good += finding is None
        if finding is not None:
            yield finding
    yield Finding("ok", "plugins", f"{good} of {len(registry.entries)} import")


def check(entry: Entry) -> Finding | None:
    """What is wrong with a plugin, if anything."""
    what = f"{entry.kind} {entry.name}"
    try:
        cls = entry.load()
        fault = _contract_fault(entry, cls)
        if fault is None and entry.kind != "domain":
            _options_of(cls)
    except MissingExtra as error:
        return Finding("note", what, str(error))
    except RobevalError as error:
        return Finding("broken", what, str(error))
    return Finding("broken", what, f"{fault} ({entry.place})") if fault else None


def _contract_fault(entry: Entry, cls: type) -> str | None:
    base = _bases()[entry.kind]
    if not issubclass(cls, base):
        return f"{cls.__qualname__} is not a {base.__module__}.{base.__name__}"
    if entry.kind == "attack":
        from robeval.plugins.threat import ThreatModel

        if not isinstance(getattr(cls, "threat", None), ThreatModel):
            return f"{cls.__qualname__} declares no threat = ThreatModel(...)"
    return None


def _bases() -> dict[str, type]:
    from robeval.plugins.contracts import Attack, Defense, Domain
    from robeval.plugins.data import Dataset
    from robeval.plugins.victim import Victim
    from robeval.trust.audit.contract import AuditCheck

    return {
        "attack": Attack,
        "defense": Defense,
        "domain": Domain,
        "dataset": Dataset,
        "victim": Victim,
        "check": AuditCheck,
    }


def _options_of(cls: Any) -> list[Option]:
    from robeval.plugins.options import describe

    return describe(cls)


def guests(registry: Registry) -> Iterator[Finding]:
    """Installed guests that could not register; they never break another plugin's run."""
    for place, reason in registry.broken:
        yield Finding("broken", "guest", f"{place}: {reason}")


def data(registry: Registry) -> Iterator[Finding]:
    """Datasets that need files, and how to say where they are."""
    for entry in registry.of("dataset"):
        try:
            needed = [option for option in _options_of(entry.load()) if option.required]
        except RobevalError:
            continue  # reported by `plugins`
        if needed:
            spec = ",".join(f"{option.name}=VALUE" for option in needed)
            why = "; ".join(f"{option.name}: {option.help or option.type}" for option in needed)
            yield Finding("note", f"data {entry.name}", f"--dataset {entry.short}:{spec} ({why})")


def cache() -> Iterator[Finding]:
    """Where trained victims and finished cells are kept, how much that is, and whether it is intact."""
    from robeval.cli.cache import amount, damaged, entries
    from robeval.engine.cache import Cache, cache_directory
    from robeval.results.places import shown

    try:
        folder = cache_directory()
        kept = [entry for entry in entries(Cache(folder)) if not entry.is_half]
    except RobevalError as error:
        yield Finding("broken", "cache", str(error))
        return
    nearest_parent = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(nearest_parent, os.W_OK):
        yield Finding("broken", "cache", f"{folder} cannot be written; set ROBEVAL_CACHE_DIR")
        return
    yield Finding("ok", "cache", f"{shown(folder)}, {amount(kept)} (ROBEVAL_CACHE_DIR moves it)")
    for entry in damaged(kept):
        advice = "it is never used and will be made again; run: robeval cache prune --damaged"
        yield Finding("note", "cache", f"damaged: {entry.place}; {advice}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
