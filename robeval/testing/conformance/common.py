"""What every plugin promises: it explains itself, and its options survive being written down."""

from __future__ import annotations

import dataclasses
import json

import yaml

from robeval.plugins.options import configure, describe, identity
from robeval.plugins.registry import documentation
from robeval.plugins.specs import PluginSpec
from robeval.testing.conformance.bench import Bench
from robeval.testing.conformance.check import check, expect

SOURCED = ("attack", "defense")


@check("attack", "defense", "dataset", "victim", "domain")
def documented(bench: Bench) -> None:
    """It has a docstring of its own; attacks and defenses name their source."""
    text = documentation(bench.cls)
    expect(bool(text), f"{bench.cls.__qualname__} has no docstring", "Say in its first sentence what it does")
    if bench.kind in SOURCED:
        expect(
            "Source:" in text,
            f"the docstring of {bench.cls.__qualname__} names no source",
            "Add a line 'Source: paper, arXiv id', or 'Source: a baseline; ...' for an idea of your own",
        )


@check("attack", "defense", "dataset", "victim")
def options_explained(bench: Bench) -> None:
    """Every option says what it is, for `robeval show`."""
    silent = [option.name for option in describe(bench.cls) if not option.help]
    expect(
        not silent,
        f"the option{'s' if len(silent) > 1 else ''} {', '.join(silent)} of {bench.name} explain nothing",
        'Write NAME: Annotated[TYPE, Field(description="what it is, in which unit")] = DEFAULT',
    )


@check("attack", "defense", "dataset", "victim")
def options_round_trip(bench: Bench) -> None:
    """Options written on a command line, as YAML or as JSON give the same plugin again."""
    bench.needs_no_more_options()
    owner = f"{bench.kind} '{bench.name}'"
    full = identity(bench.cls, bench.effective, owner)
    typed = PluginSpec.parse(str(PluginSpec(name="plugin", options=full))).options
    stored = json.loads(json.dumps(full))
    written = yaml.safe_load(yaml.safe_dump(full))
    for how, options in (("on the command line", typed), ("in YAML", written), ("in JSON", stored)):
        again = identity(bench.cls, options, owner)
        lost = sorted(name for name in full if again.get(name) != full[name])
        expect(
            not lost,
            f"the option '{lost[0] if lost else ''}' is {full.get(lost[0]) if lost else ''!r}, but "
            f"{again.get(lost[0]) if lost else ''!r} after it was written {how}",
            "Use types that YAML can hold: numbers, text, booleans, Literal, lists of them",
        )
        configure(bench.cls, options, owner)


@check("attack", "defense")
def frozen(bench: Bench) -> None:
    """It is a frozen dataclass, so that nothing learnt in one cell leaks into the next."""
    parameters = getattr(bench.cls, "__dataclass_params__", None)
    expect(
        dataclasses.is_dataclass(bench.cls) and bool(parameters and parameters.frozen),
        f"{bench.cls.__qualname__} can be changed after it was made",
        "Put @dataclass(frozen=True) above the class and keep what you compute in local variables",
    )
