"""A plugin's digest changes with its own code and with nothing else."""

import sys
from pathlib import Path

import pytest

from robeval.engine import sources


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guest package: `attack` imports `helper`, `other` stands alone."""
    folder = tmp_path / "guest_pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("STEP = 1\n")
    (folder / "attack.py").write_text("from guest_pkg.helper import STEP\nimport os\n")
    (folder / "other.py").write_text("from . import __init__\nX = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def digest(name: str) -> str:
    """The digest as a new process would see it."""
    for cached in (sources.module_digest, sources._imports, sources._file):
        cached.cache_clear()
    for module in [m for m in sys.modules if m.startswith("guest_pkg")]:
        del sys.modules[module]
    return sources.module_digest(name)


def test_a_changed_helper_changes_who_imports_it(package: Path) -> None:
    """An edit in a helper reaches the attack that imports it, and not its neighbour."""
    attack, other = digest("guest_pkg.attack"), digest("guest_pkg.other")
    (package / "helper.py").write_text("STEP = 2\n")
    assert digest("guest_pkg.attack") != attack
    assert digest("guest_pkg.other") == other


def test_unrelated_packages_do_not_count(package: Path) -> None:
    """What is imported from elsewhere (os, torch) is not followed."""
    assert sources._closure("guest_pkg.attack", ("guest_pkg",)) == {"guest_pkg.attack", "guest_pkg.helper"}


def test_reports_never_change_a_figure() -> None:
    """No plugin's digest depends on the command line or the report."""
    closure = sources._closure("robeval.testing.linear", ("robeval",))
    assert "robeval.plugins.contracts" in closure
    assert not [name for name in closure if name.startswith(("robeval.cli", "robeval.report"))]


def test_a_helper_beside_a_plugin_file_counts(package: Path) -> None:
    """A module of another name that is not installed belongs to the plugin that imports it."""
    (package.parent / "beside.py").write_text("STEP = 1\n")
    (package / "attack.py").write_text("import beside\n")
    before = digest("guest_pkg.attack")
    (package.parent / "beside.py").write_text("STEP = 2\n")
    assert digest("guest_pkg.attack") != before
