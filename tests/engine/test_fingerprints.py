"""Fingerprints: the same on every machine, other for other code, data or options."""

from collections.abc import Callable
from pathlib import Path

import pytest

from robeval.engine.experiment import build_experiment
from robeval.engine.fingerprints import fingerprints
from robeval.engine.plan import make_plan
from robeval.plugins.discovery import discover

PLUGIN = '''
from robeval.testing import linear


class Mine(linear.Line):
    """A line. Source: a test."""


def register(registry):
    linear.register(registry)
    registry.victim("linear/mine", Mine)
'''


@pytest.fixture
def prints(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Fingerprints of an experiment with a plugin file of this text, in a folder of this name."""

    def made(folder: str, text: str = PLUGIN, **fields: object) -> dict[str, str]:
        path = tmp_path / folder / "mine.py"
        path.parent.mkdir()
        path.write_bytes(text.encode())
        chosen = {"domain": "linear", "victims": "mine", "attacks": ["none", "worst"]} | fields
        return fingerprints(make_plan(build_experiment(**chosen), discover([path])))

    return made


def test_every_plugin_and_the_domain_have_one(prints: Callable[..., dict[str, str]]) -> None:
    """Under its kind and name."""
    assert list(prints("a")) == [
        "attack none",
        "attack worst",
        "dataset points",
        "defense none",
        "domain linear",
        "victim mine",
    ]


def test_the_folder_does_not_matter_and_the_code_does(prints: Callable[..., dict[str, str]]) -> None:
    """A copy elsewhere is the same, also with Windows' line ends; a changed line changes the victim alone."""
    first = prints("a")
    assert first == prints("b") == prints("w", PLUGIN.replace("\n", "\r\n"))
    changed = prints("c", PLUGIN.replace("A line.", "Another line."))
    assert {name for name in first if first[name] != changed[name]} == {"victim mine"}


def test_options_matter(prints: Callable[..., dict[str, str]]) -> None:
    """Other data under the same plugin is other data."""
    first, second = prints("a"), prints("b", datasets="points:seed=1")
    assert first["dataset points"] != second["dataset points:seed=1"]
