"""`robeval show NAME`: what a plugin is, what it grants the attacker, its options, how to run it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robeval.cli.flags import plugin_files
from robeval.errors import PluginError, UnknownPlugin
from robeval.plugins.discovery import discover
from robeval.plugins.registry import KINDS, Entry, Registry, documentation

if TYPE_CHECKING:
    from rich.console import RenderableType

HOOKS = {
    "poison": "training data",
    "tamper": "weights",
    "perturb": "input",
    "sanitize": "training data",
    "robustify": "training",
    "harden": "inference",
}


@click.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="When several kinds share the name.")
@plugin_files
def command(name: str, kind: str | None, plugin_files: tuple[Path, ...]) -> None:
    """Explain one plugin: threat model, budget, options, source.

    NAME with or without its domain: sa-attack, trajectory/sa-attack.
    """
    from robeval.cli.console import console

    registry = discover(plugin_files)
    screen = console(piped_width=100)
    for number, entry in enumerate(matching(registry, name, kind)):
        if number:
            screen.rule()
        for part in card(entry):
            screen.print(part)


def matching(registry: Registry, name: str, kind: str | None = None) -> list[Entry]:
    """The entries of that name, with or without its domain. Raises UnknownPlugin with the nearest."""
    entries = [entry for each in (KINDS if kind is None else (kind,)) for entry in registry.of(each)]
    found = [entry for entry in entries if name in (entry.name, entry.short)]
    if not found:
        raise UnknownPlugin(kind or "plugin", name, {entry.name for entry in entries})
    return found


def card(entry: Entry) -> Iterator[RenderableType]:
    """Everything about one plugin, part by part.

    Raises PluginError or MissingExtra when it cannot be loaded.
    """
    from rich.padding import Padding
    from rich.text import Text

    cls = entry.load()
    yield Text.assemble((entry.name, "bold cyan"), f"  {entry.kind}  {entry.summary}")
    yield Padding(Text(_flowing(documentation(cls)) or "(no docstring)"), (1, 0, 1, 2))
    yield _facts(entry, cls)
    if entry.kind == "domain":
        yield from _metrics(cls)
    else:
        yield from _options(cls)
    yield Text(f"\nRun it: {example(entry, cls)}")


def _flowing(text: str) -> str:
    """A docstring without its line breaks; blank or indented lines and labels (``Source:``) start afresh."""
    flowing = ""
    for line in text.splitlines():
        fresh = (
            not line
            or line[0].isspace()
            or re.match(r"[A-Z][a-z]+: |[-*`]", line)
            or flowing[-1:] in ("", "\n")
        )
        flowing += ("\n" if fresh and flowing else " " if flowing else "") + line
    return flowing


def example(entry: Entry, cls: Any) -> str:
    """A command line that uses the plugin."""
    from robeval.plugins.options import describe

    domain = "DOMAIN" if entry.domain == "*" else entry.domain
    if entry.kind == "domain":
        return f"robeval run {entry.name}"
    if entry.kind == "check":
        return f"robeval audit RUN --check {entry.short}"
    options = describe(cls)
    shown = [option for option in options if option.required]
    shown = shown or [option for option in options if option.default not in ("null", "''")][:1]
    values = ",".join(f"{option.name}={'VALUE' if option.required else option.default}" for option in shown)
    spec = entry.short + (f":{values}" if values else "")
    flag = {"attack": "-a", "defense": "-d", "dataset": "--dataset", "victim": "--victim"}[entry.kind]
    return f"robeval run {domain} {flag} {spec}"


def _facts(entry: Entry, cls: Any) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    for label, value in facts(entry, cls).items():
        table.add_row(Text(label, style="bold"), Text(value))
    return table


def facts(entry: Entry, cls: Any) -> dict[str, str]:
    """What the class declares, label by label."""
    found: dict[str, str] = {}
    if entry.kind == "attack":
        found.update(_threat(entry, cls))
    if entry.kind in ("attack", "defense"):
        found["acts on"] = ", ".join(_places(entry.kind, cls)) or "nothing (the reference)"
    if entry.kind == "defense":
        found["gradient"] = f"{cls.gradient} (how an adaptive attacker differentiates it)"
    if entry.kind == "check":
        found["asks"] = cls.question
    if entry.kind == "victim":
        found["training"] = _training(cls)
    found["domain"] = "every" if entry.domain == "*" else entry.domain
    found["defined in"] = f"{cls.__module__}:{cls.__qualname__}"
    found["registered at"] = entry.place
    if entry.extra:
        found["needs"] = f"pip install 'robeval[{entry.extra}]'"
    return found


def _threat(entry: Entry, cls: Any) -> dict[str, str]:
    from robeval.plugins.threat import MEANING, ThreatModel

    threat = getattr(cls, "threat", None)
    if not isinstance(threat, ThreatModel):
        raise PluginError(
            f"attack '{entry.name}' ({entry.place}) declares no threat: threat = ThreatModel(...)"
        )
    budget = threat.budget
    queries = "" if threat.queries is None else f"; at most {threat.queries} queries an example"
    found = {
        "goal": threat.goal,
        "access": f"{threat.access}: {MEANING[threat.access]}{queries}",
        "budget": f"{budget}" + (f" ({budget.meaning})" if budget.meaning else ""),
    }
    if threat.constraints:
        found["constraints"] = (
            f"{', '.join(threat.constraints)} (each measured as a share of what is allowed)"
        )
    return found


def _places(kind: str, cls: Any) -> list[str]:
    """Where the plugin acts: the hooks that it overrides."""
    from robeval.plugins.contracts import Attack, Defense

    base = Attack if kind == "attack" else Defense
    return [
        f"{what} ({hook})"
        for hook, what in HOOKS.items()
        if hasattr(base, hook) and getattr(cls, hook) is not getattr(base, hook)
    ]


def _training(cls: Any) -> str:
    """The recipe as the options' defaults give it, or as the class does."""
    from robeval.plugins.options import describe

    defaults = {option.name: option.default for option in describe(cls)}
    steps, size, rate = (
        defaults.get(n) or getattr(cls, n) for n in ("steps", "train_batch_size", "learning_rate")
    )
    if str(steps) == "0":
        return "none needed"
    return f"{steps} steps of {size} examples, learning rate {rate}"


def _options(cls: Any) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    from robeval.plugins.options import describe

    options = describe(cls)
    if not options:
        yield Text("\nNo options.")
        return
    table = Table(title="Options", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for column in ("option", "type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for option in options:
        kind = f"{option.type} {option.constraint}".rstrip()
        default = "must be given" if option.required else option.default
        table.add_row(Text(option.name, style="cyan"), Text(kind), Text(default), Text(option.help))
    yield Text("")
    yield table


def _metrics(cls: Any) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Metrics", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for column in ("metric", "unit", "better", "meaning"):
        table.add_column(column, overflow="fold")
    for metric in cls.metrics:
        table.add_row(Text(metric.name, style="cyan"), metric.unit, metric.direction, Text(metric.meaning))
    yield Text("")
    yield table
    usual = cls.defaults
    yield Text(f"\nBy default: {usual.dataset}, {usual.victim}, {usual.max_examples} examples")
    yield Text(f"  attacks   {', '.join(usual.attacks)}\n  defenses  {', '.join(usual.defenses)}")
    for called, profile in usual.profiles.items():
        yield Text(f"\nWith --profile {called}: {profile.meaning}")
        for name, value in vars(profile).items():
            if name != "meaning" and value is not None:
                told = ", ".join(value) if isinstance(value, tuple) else value
                yield Text(f"  {name.replace('_', ' '):<12}  {told}")
