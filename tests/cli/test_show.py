"""`robeval show`: a plugin explained from what it declares."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robeval.cli.show import example, facts
from robeval.plugins.discovery import built_in
from robeval.plugins.registry import Registry
from robeval.plugins.specs import PluginSpec

Run = Callable[..., Any]


def test_an_attack_shows_its_threat_budget_options_and_source(robeval: Run, guest_file: Path) -> None:
    """All that a reader of its figures must know, and how to run it."""
    outcome = robeval("show", "drift", "--plugin", guest_file)
    assert outcome.code == 0
    for part in [
        "trajectory/drift",
        "Pushes every observed position of the target the same way",
        "Source: a baseline",
        "score: the victim's full output, no gradient",
        "deviation ≤ 1 m",
        "input (perturb)",
        "Run it: robeval run trajectory -a drift:restarts=4",
    ]:
        assert part in outcome.out
    assert re.search(r"restarts +int ≥ 1 +4 +random directions tried", outcome.out)


def test_the_prefix_may_be_dropped(robeval: Run) -> None:
    """Full and short names show the same card."""
    assert robeval("show", "noise").out == robeval("show", "trajectory/noise").out


def test_kinds_that_share_a_name_are_all_shown(robeval: Run) -> None:
    """`none` is an attack and a defense; --kind picks one."""
    both = robeval("show", "none").out
    assert "none  attack" in both
    assert "none  defense" in both
    one = robeval("show", "none", "--kind", "defense").out
    assert "none  attack" not in one
    assert "none  defense" in one


def test_a_domain_shows_its_metrics_and_defaults(robeval: Run) -> None:
    """Units and directions included."""
    out = robeval("show", "trajectory").out
    assert re.search(r"ade +m +lower", out)
    assert "By default: " in out
    assert out.endswith("Run it: robeval run trajectory\n")


def test_an_unknown_name_answers_with_the_nearest(robeval: Run) -> None:
    """As a usage error."""
    outcome = robeval("show", "sa_atack")
    assert outcome.code == 2
    assert "Did you mean 'trajectory/sa-attack'?" in outcome.err


def test_a_broken_plugin_is_an_error_with_its_place(robeval: Run, tmp_path: Path) -> None:
    """Showing imports, so a broken target is found here."""
    path = tmp_path / "sick.py"
    path.write_text(
        "def register(registry):\n    registry.attack('trajectory/sick', 'robeval.nowhere:Sick')\n"
    )
    outcome = robeval("show", "sick", "--plugin", path)
    assert outcome.code == 3
    assert f"{path}:2" in outcome.err


def test_an_attack_without_a_threat_is_an_error(robeval: Run, tmp_path: Path) -> None:
    """Its figures would have no meaning."""
    path = tmp_path / "vague.py"
    path.write_text(
        "from robeval.plugins.contracts import Attack\n"
        "class Vague(Attack):\n    '''Vague.'''\n"
        "def register(registry):\n    registry.attack('trajectory/vague', Vague)\n"
    )
    outcome = robeval("show", "vague", "--plugin", path)
    assert outcome.code == 3
    assert "declares no threat" in outcome.err


REGISTRY: Registry = built_in()


@pytest.mark.parametrize("key", REGISTRY.entries, ids="-".join)
def test_every_built_in_has_a_card(robeval: Run, key: tuple[str, str]) -> None:
    """Each one loads, has a docstring of its own, facts, and an example that a shell could run."""
    entry = REGISTRY.entries[key]
    cls = entry.load()
    outcome = robeval("show", entry.name, "--kind", entry.kind)
    assert outcome.code == 0, outcome.err
    assert "(no docstring)" not in outcome.out
    assert facts(entry, cls)["defined in"] == f"{cls.__module__}:{cls.__qualname__}"
    words = example(entry, cls).split()
    assert words[:2] == ["robeval", "audit" if entry.kind == "check" else "run"]
    if entry.kind != "domain":
        assert PluginSpec.parse(words[-1]).name == entry.short
